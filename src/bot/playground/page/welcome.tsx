/** What a newcomer sees: what this is, and examples that draw at one click. */

import { Sprout } from './icons.tsx'

const EXAMPLES = [
  'a red apple',
  'a happy cat --count 4',
  'a blue fish',
  'a slice of pizza',
  'an orange fox on a purple background',
  'a green tree --seed 7',
]

export function Welcome({ onExample }: { onExample: (line: string) => void }) {
  return (
    <section class="welcome" aria-label="Welcome">
      <div class="welcome-sprout">
        <Sprout />
      </div>
      <h2>What shall we draw?</h2>
      <p>Say it in a few words. Seedling makes the pictures itself; no other service sees what you type.</p>
      <ul class="examples" aria-label="Examples">
        {EXAMPLES.map((example) => (
          <li key={example}>
            <button type="button" onClick={() => onExample(`/imagine ${example}`)}>
              {example}
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}
