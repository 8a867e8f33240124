// node ads-server.js: a small ADS server that is not ours. Each input line is one JSON object
// {"version": "1", "lds": [...], "rds": [...], "cds": [...], "eds": [...]}: resources by protobufjs' JSON (an Any is {"@type": ..., fields}).
// It is sent to every stream. Prints {"port"} first, then one line for each request it got: {"type", "names", "version", "nonce", "error", "node"}.
'use strict';
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
const { service, types } = require('./ads');
const root = require('./protos').load();

const streams = new Set();
let current = null;

function encode(type, object) {
  return root.lookupType(type).encode(root.lookupType(type).fromObject(pack(object))).finish();
}

// Packs {"@type": T, ...} objects into Anys, innermost first.
function pack(object) {
  if (Array.isArray(object)) return object.map(pack);
  if (object === null || typeof object !== 'object') return object;
  const packed = Object.fromEntries(Object.entries(object).filter(([k]) => k !== '@type').map(([k, v]) => [k, pack(v)]));
  if (!object['@type']) return packed;
  return { type_url: object['@type'], value: root.lookupType(object['@type'].split('/').pop()).encode(
    root.lookupType(object['@type'].split('/').pop()).fromObject(packed)).finish() };
}

function name(object) {
  return object.name || object.cluster_name;
}

function push(stream, type) {
  const names = stream.names[type];
  if (!current || names === undefined) return;
  const all = current[type] || [];
  const resources = all.filter((r) => names.length === 0 || names.includes('*') || names.includes(name(r)));
  stream.call.write({
    version_info: current.version,
    type_url: types[type],
    nonce: String(++stream.nonce),
    resources: resources.map((r) => ({ type_url: types[type], value: encode(types[type].split('/')[1], r) })),
  });
  stream.sent[type] = `${current.version} ${names}`;
}

const server = new grpc.Server();
server.addService(service.service, {
  StreamAggregatedResources: (call) => {
    const stream = { call, names: {}, sent: {}, nonce: 0 };
    streams.add(stream);
    call.on('data', (request) => {
      const type = Object.keys(types).find((t) => types[t] === request.type_url);
      console.log(JSON.stringify({
        type,
        names: request.resource_names,
        version: request.version_info,
        nonce: request.response_nonce,
        error: request.error_detail && request.error_detail.message,
        node: request.node && request.node.id,
      }));
      if (!type) return;
      stream.names[type] = request.resource_names;
      if (!request.error_detail && current && stream.sent[type] !== `${current.version} ${request.resource_names}`) push(stream, type);
    });
    call.on('end', () => { streams.delete(stream); call.end(); });
    call.on('error', () => streams.delete(stream));
  },
});
const address = process.argv[2] || '127.0.0.1:0';
server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  console.log(JSON.stringify({ port }));
});
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  current = JSON.parse(line);
  for (const stream of streams) for (const type of ['cds', 'eds', 'lds', 'rds']) push(stream, type);
}).on('close', () => process.exit(0));
