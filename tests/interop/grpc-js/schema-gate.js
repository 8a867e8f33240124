// node schema-gate.js ADDRESS NODE.json: asks the control plane, as the node described in the file, for everything it has for that node; reads
// each resource by the official protos and checks their validate rules and the references between resources.
// Prints one JSON object: {"counts": {type: n}, "names": {type: [...]}, "errors": [...]}; exit code 1 when there are errors.
// A node with "grpc": [names] asks by name, as gRPC libraries do.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');
const { service, types } = require('./ads');
const { load } = require('./protos');
const { Checker } = require('./rules');

const QUIET_MS = 1500;
const [address, nodeFile] = process.argv.slice(2);
const node = JSON.parse(fs.readFileSync(nodeFile, 'utf8'));
const byName = node.grpc;
delete node.grpc;

const checker = new Checker(load());
const found = Object.fromEntries(Object.keys(types).map((t) => [t, new Map()]));
const asked = { rds: new Set(), eds: new Set(), cds: new Set() };
const stream = new service(address, grpc.credentials.createInsecure()).StreamAggregatedResources();
const latest = {};
let quiet;
let first = true;

function send(type, names) {
  stream.write({
    ...(first ? { node: toNode(node) } : {}),
    type_url: types[type],
    resource_names: names,
    version_info: (latest[type] || {}).version_info,
    response_nonce: (latest[type] || {}).nonce,
  });
  first = false;
}

function toNode(json) {
  return { ...json, metadata: json.metadata && struct(json.metadata) };
}

function struct(object) {
  return { fields: Object.fromEntries(Object.entries(object).map(([k, v]) => [k, value(v)])) };
}

function value(v) {
  if (Array.isArray(v)) return { listValue: { values: v.map(value) } };
  if (v !== null && typeof v === 'object') return { structValue: struct(v) };
  if (typeof v === 'string') return { stringValue: v };
  return typeof v === 'number' ? { numberValue: v } : { boolValue: v };
}

// The names a resource refers to, found by walking it.
function walk(message, visit) {
  if (message === null || typeof message !== 'object' || message instanceof Uint8Array) return;
  visit(message);
  for (const part of Object.values(message)) walk(part, visit);
}

function references(type, message) {
  if (type === 'cds' && message.type === 3) asked.eds.add((message.eds_cluster_config || {}).service_name || message.name);
  if (type === 'lds') {
    walk(expand(message), (m) => m.route_config_name && asked.rds.add(m.route_config_name));
  }
  if (type === 'rds' && byName) {
    walk(message, (m) => {
      if (m.cluster) asked.cds.add(m.cluster);
      if (m.weighted_clusters) m.weighted_clusters.clusters.forEach((c) => asked.cds.add(c.name));
    });
  }
}

// A message with its Anys decoded in place.
function expand(message) {
  if (Array.isArray(message)) return message.map(expand);
  if (message === null || typeof message !== 'object' || message instanceof Uint8Array) return message;
  if (typeof message.type_url === 'string' && message.value) {
    return expand(checker.root.lookupType(message.type_url.split('/').pop()).decode(message.value));
  }
  return Object.fromEntries(Object.entries(message).map(([k, v]) => [k, expand(v)]));
}

function settle() {
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    stream.cancel();
    const all = Object.entries(found);
    for (const name of asked.eds) if (!found.eds.has(name)) checker.fail('eds', `${name} is referred to and was not sent`);
    for (const name of asked.rds) if (!found.rds.has(name)) checker.fail('rds', `${name} is referred to and was not sent`);
    console.log(JSON.stringify({
      counts: Object.fromEntries(all.map(([t, m]) => [t, m.size])),
      names: Object.fromEntries(all.map(([t, m]) => [t, [...m.keys()].sort()])),
      errors: checker.errors,
    }));
    process.exit(checker.errors.length ? 1 : 0);
  }, QUIET_MS);
}

stream.on('error', (e) => {
  if (e.code !== grpc.status.CANCELLED) {
    console.log(JSON.stringify({ counts: {}, names: {}, errors: [String(e)] }));
    process.exit(1);
  }
});
stream.on('data', (response) => {
  const type = Object.keys(types).find((t) => types[t] === response.type_url);
  latest[type] = response;
  const seen = new Set();
  for (const resource of response.resources) {
    const bytes = resource.value;
    if (resource.type_url !== response.type_url) checker.fail(type, `a resource of type ${resource.type_url} in a response of ${response.type_url}`);
    const message = checker.check(types[type].split('/')[1], bytes, type);
    const name = message.name || message.cluster_name;
    if (seen.has(name)) checker.fail(type, `${name} twice in one response`);
    seen.add(name);
    found[type].set(name, message);
    references(type, message);
  }
  send(type, type === 'lds' || type === 'cds' ? (byName ? [...(type === 'lds' ? byName : asked.cds)] : []) : [...asked[type]]);
  if (type === 'cds' && asked.eds.size && !latest.eds) send('eds', [...asked.eds]);
  if (type === 'lds' && asked.rds.size && !latest.rds) send('rds', [...asked.rds]);
  if (type === 'rds' && byName && asked.cds.size && !latest.cds) send('cds', [...asked.cds]);
  settle();
});
if (byName) send('lds', byName);
else {
  send('cds', []);
  send('lds', []);
}
settle();
