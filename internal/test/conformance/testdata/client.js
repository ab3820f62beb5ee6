// A client on MQTT.js. It reads a plan from its standard input: connect,
// subscribe, publish, and stay if asked. What it receives it prints, one line of
// JSON each.
const plan = JSON.parse(require('fs').readFileSync(0));
const five = plan.version === 5;

function properties(source, names) {
  if (!five) return undefined;
  const p = {};
  for (const [ours, theirs] of Object.entries(names)) {
    if (source[ours]) p[theirs] = ours === 'correlation' ? Buffer.from(source[ours]) : source[ours];
  }
  if (source.user) p.userProperties = { k: source.user };
  return p;
}

const message = {
  contentType: 'contentType', responseTopic: 'responseTopic', correlation: 'correlationData', expiry: 'messageExpiryInterval',
};

const client = require('mqtt').connect({
  host: plan.host, port: plan.port, protocolVersion: plan.version, clientId: plan.id, clean: plan.clean, reconnectPeriod: 0,
  properties: properties(plan, { sessionExpiry: 'sessionExpiryInterval', receiveMaximum: 'receiveMaximum' }),
  will: plan.will && { ...plan.will, properties: properties(plan.will, message) },
});

function fail(err) {
  console.error(err);
  process.exit(1);
}

client.on('error', fail);
client.on('message', (topic, payload, packet) => {
  const p = packet.properties || {};
  console.log(JSON.stringify({
    topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain,
    user: ({ ...p.userProperties }).k, contentType: p.contentType, correlation: p.correlationData && p.correlationData.toString(),
  }));
});
client.once('connect', async () => {
  try {
    for (const s of plan.subscribe || []) await client.subscribeAsync(s.filter, { qos: s.qos });
    for (const m of plan.publish || []) {
      await client.publishAsync(m.aliasAlone ? '' : m.topic, m.payload,
        { qos: m.qos, retain: m.retain, properties: properties(m, { ...message, alias: 'topicAlias' }) });
    }
    if (!plan.stay) await client.endAsync();
  } catch (err) {
    fail(err);
  }
});
process.on('SIGTERM', () => client.end());
