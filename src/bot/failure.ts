/** That a platform ends for good, told once, by whichever part of it notices first. */

export class Failure {
  /** Resolves with a sentence for the operator. */
  readonly told: Promise<Error>
  #resolve: (error: Error) => void = () => {}

  constructor() {
    this.told = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  tell(sentence: string): void {
    this.#resolve(new Error(sentence))
  }
}
