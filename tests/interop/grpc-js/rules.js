// Reads messages by the official schemas: unknown fields are errors, and so is what breaks a `validate.rules` option
// (the rules a real Envoy enforces before it takes a resource).
'use strict';
const { Reader } = require('protobufjs');

class Checker {
  constructor(root) {
    this.root = root;
    this.errors = [];
  }

  // Decodes `bytes` as `typeName`, checks it and everything inside; returns the message.
  check(typeName, bytes, where) {
    const type = this.root.lookupType(typeName);
    const message = type.decode(bytes);
    this.sameFields(type, bytes, where);
    this.message(type, message, where);
    return message;
  }

  fail(where, text) {
    this.errors.push(`${where}: ${text}`);
  }

  // Every field number on the wire must be in the schema: protobufjs would skip the others in silence.
  sameFields(type, bytes, where) {
    const reader = Reader.create(bytes);
    while (reader.pos < reader.len) {
      const tag = reader.uint32();
      const field = type.fieldsById[tag >>> 3];
      if (!field) {
        this.fail(where, `field ${tag >>> 3} is not in ${type.fullName}`);
        reader.skipType(tag & 7);
      } else if (field.resolvedType && field.resolvedType.fields && !field.map && (tag & 7) === 2) {
        this.sameFields(field.resolvedType, reader.bytes(), `${where}.${field.name}`);
      } else {
        reader.skipType(tag & 7);
      }
    }
  }

  message(type, message, where) {
    for (const oneof of type.oneofsArray) {
      const required = oneof.options && oneof.options['(validate.required)'];
      const chosen = oneof.fieldsArray.filter((f) => Object.prototype.hasOwnProperty.call(message, f.name));
      if (required && chosen.length !== 1) this.fail(where, `exactly one of ${oneof.oneof.join(', ')} must be set`);
    }
    for (const field of type.fieldsArray) {
      const set = Object.prototype.hasOwnProperty.call(message, field.name);
      const value = message[field.name];
      const at = `${where}.${field.name}`;
      const rules = rulesOf(field);
      if (field.repeated) this.repeated(field, value || [], rules, at);
      else if (field.map) this.map(field, value || {}, rules, at);
      else this.value(field, value, set, rules, at);
    }
  }

  repeated(field, values, rules, where) {
    const rule = rules.repeated || {};
    if (rule.min_items !== undefined && values.length < rule.min_items) this.fail(where, `needs at least ${rule.min_items} items`);
    if (rule.max_items !== undefined && values.length > rule.max_items) this.fail(where, `takes at most ${rule.max_items} items`);
    if (rule.unique && new Set(values.map(String)).size !== values.length) this.fail(where, 'items must be unique');
    values.forEach((value, i) => this.value(field, value, true, rule.items || {}, `${where}[${i}]`));
  }

  map(field, values, rules, where) {
    for (const [key, value] of Object.entries(values)) {
      if (field.resolvedType && field.resolvedType.fields) this.inner(field.resolvedType, value, `${where}[${key}]`);
      this.scalar(key, (rules.map || {}).keys || {}, `${where} key`);
    }
  }

  value(field, value, set, rules, where) {
    const message = field.resolvedType && field.resolvedType.fields;
    if (!message) {
      if (field.resolvedType && field.resolvedType.values && rules.enum && rules.enum.defined_only
        && set && !(value in field.resolvedType.valuesById)) this.fail(where, `${value} is not a value of ${field.resolvedType.name}`);
      if (set || !field.partOf) this.scalar(value, rules, where);
      return;
    }
    const required = ['message', 'any', 'duration', 'timestamp'].some((kind) => rules[kind] && rules[kind].required);
    if (!set || value === null) {
      if (required && !field.partOf) this.fail(where, 'is required');
      return;
    }
    const name = field.resolvedType.fullName;
    if (name === '.google.protobuf.Duration') this.duration(value, rules.duration || {}, where);
    else if (/^\.google\.protobuf\.(U?Int|Bool|String|Double|Float|Bytes)\w*Value$/.test(name)) this.scalar(value.value, rules, where);
    else if (!(rules.message && rules.message.skip)) this.inner(field.resolvedType, value, where);
  }

  inner(type, value, where) {
    if (type.fullName !== '.google.protobuf.Any') {
      this.message(type, value, where);
      return;
    }
    const name = value.type_url.slice(value.type_url.lastIndexOf('/') + 1);
    if (!value.type_url.startsWith('type.googleapis.com/')) this.fail(where, `type URL ${value.type_url}`);
    try {
      this.root.lookupType(name);
    } catch {
      this.fail(where, `type ${name} is not in the official protos`);
      return;
    }
    this.check(name, value.value, `${where}<${name.slice(name.lastIndexOf('.') + 1)}>`);
  }

  duration(value, rule, where) {
    const ns = BigInt(String(value.seconds || 0)) * 1000000000n + BigInt(value.nanos || 0);
    const bound = (d) => BigInt(String((d && d.seconds) || 0)) * 1000000000n + BigInt((d && d.nanos) || 0);
    if (rule.gt && ns <= bound(rule.gt)) this.fail(where, 'is too short');
    if (rule.gte && ns < bound(rule.gte)) this.fail(where, 'is too short');
    if (rule.lt && ns >= bound(rule.lt)) this.fail(where, 'is too long');
    if (rule.lte && ns > bound(rule.lte)) this.fail(where, 'is too long');
  }

  scalar(value, rules, where) {
    for (const [kind, rule] of Object.entries(rules)) {
      if (rule === null || typeof rule !== 'object') continue;
      if (rule.ignore_empty && (value === '' || value === 0 || value === undefined)) continue;
      if (kind === 'string') this.text(String(value ?? ''), rule, where);
      else if (kind === 'bytes') {
        if (rule.min_len !== undefined && (value || []).length < rule.min_len) this.fail(where, `needs at least ${rule.min_len} bytes`);
      } else if (/^(u?int|s?int|fixed|sfixed)(32|64)$|^(double|float)$/.test(kind)) this.number(Number(value ?? 0), rule, where);
    }
  }

  number(value, rule, where) {
    const ok = (rule.gt === undefined || value > rule.gt) && (rule.gte === undefined || value >= rule.gte)
      && (rule.lt === undefined || value < rule.lt) && (rule.lte === undefined || value <= rule.lte)
      && (rule.const === undefined || value === rule.const);
    if (!ok) this.fail(where, `${value} is outside ${JSON.stringify(rule)}`);
  }

  text(value, rule, where) {
    const bytes = Buffer.byteLength(value);
    if (rule.min_len !== undefined && [...value].length < rule.min_len) this.fail(where, `needs at least ${rule.min_len} characters`);
    if (rule.max_len !== undefined && [...value].length > rule.max_len) this.fail(where, `takes at most ${rule.max_len} characters`);
    if (rule.min_bytes !== undefined && bytes < rule.min_bytes) this.fail(where, `needs at least ${rule.min_bytes} bytes`);
    if (rule.max_bytes !== undefined && bytes > rule.max_bytes) this.fail(where, `takes at most ${rule.max_bytes} bytes`);
    if (rule.prefix !== undefined && !value.startsWith(rule.prefix)) this.fail(where, `must begin with ${rule.prefix}`);
    if (rule.well_known_regex !== undefined && /[\0\r\n]/.test(value)) this.fail(where, 'is no header value');
    if (rule.in && !rule.in.includes(value)) this.fail(where, `is not one of ${rule.in}`);
  }
}

// The rules of a field as an object: {string: {min_len: 1}} ...
function rulesOf(field) {
  const rules = {};
  for (const option of field.parsedOptions || []) {
    if (option['(validate.rules)']) merge(rules, option['(validate.rules)']);
  }
  return rules;
}

function merge(into, from) {
  for (const [key, value] of Object.entries(from)) {
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) merge(into[key] || (into[key] = {}), value);
    else into[key] = value;
  }
}

module.exports = { Checker };
