/** `webgpu-child.js ONNX`: runs small graphs through WebGPU in an environment of its own, and tells as JSON what they gave. */

import protobuf from 'protobufjs/light.js'
import { toFloat16 } from '../../dist/engine/float16.js'
import { exportedGraph } from '../../dist/engine/graph/graph-source.js'
import { inputField, outputField } from '../../dist/engine/graph/onnx-bytes.js'
import { DataType } from '../../dist/engine/graph/onnx-schema.js'
import { OnnxRuntimeModel } from '../../dist/engine/models/onnx-runtime-model.js'

const SIDE = 16

function waves(count) {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(i))
}

async function run(source, device, dims) {
  const notices = []
  const model = await OnnxRuntimeModel.load(source, { device, onNotice: (message) => notices.push(message) })
  const [input] = model.inputs.keys()
  const x = { data: waves(dims.reduce((product, dim) => product * dim, 1)), dims }
  const [y] = await model.run({ [input]: x }, [...model.outputs.keys()].slice(0, 1))
  await model.release()
  return { data: [...y.data], notices }
}

/** Weights, arithmetic, input and output in half precision, and no file in float32 beside it. */
function halfGraph() {
  const weights = toFloat16(waves(SIDE * SIDE), new Uint16Array(SIDE * SIDE))
  const tensor = { name: 'w', dims: [SIDE, SIDE], dataType: DataType.FLOAT16, rawData: new Uint8Array(weights.buffer) }
  const node = (opType, input, output) => ({ opType, input, output: [output], attribute: [] })
  return {
    nodes: [node('MatMul', ['x', 'w'], 'product'), node('Sigmoid', ['product'], 'y')],
    untouched: new Map(),
    initializers: [{ tensor }],
    opsets: [{ domain: '', version: 17 }],
    graphRest: [inputField('x', DataType.FLOAT16, ['rows', SIDE]), outputField('y', DataType.FLOAT16, ['rows', SIDE])],
    modelRest: [protobuf.Writer.create().uint32(8).int32(8).finish()],
  }
}

const single = exportedGraph('vae_encoder', process.argv[2])
const half = { part: 'unet', path: 'half.onnx', read: halfGraph }
const results = { single: {}, half: {} }
for (const device of ['cpu', 'webgpu']) {
  results.single[device] = await run(single, device, [1, 3, 8, 8])
  results.half[device] = await run(half, device, [2, SIDE])
}
console.log(JSON.stringify(results))
