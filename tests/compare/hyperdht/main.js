// The work on hyperdht, the DHT of Hyperswarm, as ../ruler describes it: the same steps, and the same counters.

const fs = require('fs')
const DHT = require('hyperdht')

const WARM_UP_MS = 10000
const PAUSE_MS = 20
const VALUE = Buffer.from('{"addr":["203.0.113.7",4242],"seq":1}')

const now = () => Number(process.hrtime.bigint()) / 1e6
const rest = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// A number of a file of /proc by its name: a line of names is followed by one of numbers.
function field (path, beginning, name) {
  const lines = fs.readFileSync(path, 'utf8').split('\n').filter((line) => line.startsWith(beginning))
  const [names, numbers] = lines.map((line) => line.trim().split(/\s+/))
  const number = Number(numbers[names.indexOf(name)])
  if (!Number.isFinite(number)) throw new Error(`no ${beginning} ${name}`)
  return number
}

function traffic () {
  return {
    packets: field('/proc/self/net/snmp', 'Ip:', 'OutRequests'),
    bytes: field('/proc/self/net/netstat', 'IpExt:', 'OutOctets')
  }
}

function residentKib () {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1])
}

function quantile (values, percent) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(Math.ceil(sorted.length * percent / 100), 1) - 1] ?? 0
}

const three = (values) => [50, 95, 99].map((percent) => Number(quantile(values, percent).toFixed(3)))

// One operation, with what was sent until shortly after it.
async function measured (into, operation) {
  const before = traffic()
  const begun = now()
  const value = await operation()
  into.ms.push(now() - begun)
  await rest(PAUSE_MS)
  const after = traffic()
  into.packets.push(after.packets - before.packets)
  into.bytes.push(after.bytes - before.bytes)
  return value
}

async function main (nodes, operations) {
  const operation = () => ({ ms: [], packets: [], bytes: [] })
  const emptyKib = residentKib()
  const silence = traffic().packets
  const perNode = () => Number(((residentKib() - emptyKib) / nodes).toFixed(1))
  let begun = now()
  // All at once, as with the other peers; its own test network waits for one after the other, which takes longer.
  const make = (bootstrap) => new DHT({ ephemeral: false, firewalled: false, bootstrap, host: '127.0.0.1' })
  const first = make([])
  await first.fullyBootstrapped()
  const entry = [{ host: '127.0.0.1', port: first.address().port }]
  const network = [first]
  while (network.length < nodes) network.push(make(entry))
  await Promise.all(network.map((node) => node.fullyBootstrapped()))
  const startMs = now() - begun
  await rest(WARM_UP_MS)
  const freshKib = perNode()
  const startPackets = Math.round((traffic().packets - silence) / nodes)

  const keys = Array.from({ length: operations }, () => DHT.keyPair())
  const puts = operation()
  for (let writer = 0; writer < operations; writer++) {
    await measured(puts, () => network[writer].mutablePut(keys[writer], VALUE))
  }
  // The first answer is one call and the newest of all answers another. Its cheaper one counts for what a read sends.
  const firsts = operation()
  const all = operation()
  let lost = 0
  for (let writer = 0; writer < operations; writer++) {
    const reader = network[(writer + Math.floor(nodes / 2)) % nodes]
    const found = await measured(firsts, () => reader.mutableGet(keys[writer].publicKey, { latest: false }))
    const newest = await measured(all, () => reader.mutableGet(keys[writer].publicKey, { latest: true }))
    if (!found || !newest || !found.value.equals(VALUE)) lost++
  }
  const { user, system } = process.cpuUsage()
  console.log(JSON.stringify({
    peer: 'hyperdht ' + require('hyperdht/package.json').version,
    nodes,
    operations,
    start_ms: Number(startMs.toFixed(1)),
    start_packets: startPackets,
    put_ms: three(puts.ms),
    put_packets: quantile(puts.packets, 50),
    put_bytes: quantile(puts.bytes, 50),
    first_ms: three(firsts.ms),
    get_ms: three(all.ms),
    get_packets: Math.min(quantile(firsts.packets, 50), quantile(all.packets, 50)),
    get_bytes: Math.min(quantile(firsts.bytes, 50), quantile(all.bytes, 50)),
    lost,
    fresh_kib: freshKib,
    used_kib: perNode(),
    cpu_s: Number(((user + system) / 1e6).toFixed(2))
  }))
}

const [nodes, operations] = process.argv.slice(2).map(Number)
if (!(operations > 0 && operations <= nodes)) {
  console.error('name the number of nodes and of operations, of which each node does one at most')
  process.exit(2)
}
main(nodes, operations).then(() => process.exit(0), (why) => {
  console.error('hyperdht: ' + (why.stack || why))
  process.exit(1)
})
