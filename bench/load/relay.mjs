// The relay that people write on Node: a stream upstream for every tab, over HTTP/2 where
// the other side speaks it.
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'

const [listen, upstream, proto, cert] = process.argv.slice(2)
const at = new URL(upstream)
const ca = proto === 'plain' ? undefined : fs.readFileSync(cert)
const agent = proto === 'plain' ? new http.Agent({ keepAlive: true }) : new https.Agent({ keepAlive: true, ca })

const headersOf = (req) => {
  const headers = { authorization: 'Bearer afm_bench', accept: 'text/event-stream' }
  if (req.headers['last-event-id']) headers['last-event-id'] = req.headers['last-event-id']
  return headers
}

const overH1 = (req, res) => {
  const { request } = proto === 'plain' ? http : https
  const up = request({ host: at.hostname, port: at.port, path: req.url, headers: headersOf(req), agent }, (answer) => {
    res.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'], 'cache-control': 'no-store' })
    answer.pipe(res)
  })
  up.on('error', () => res.destroy())
  res.on('close', () => up.destroy())
  up.end()
}

// Node queues what the other side's limit of streams keeps out, so a connection is opened
// whenever all are full.
const sessions = []
const connect = () => {
  const session = http2.connect(at, { ca, settings: { enablePush: false } })
  const entry = { session, open: 0, most: Infinity }
  entry.ready = new Promise((resolve) => session.once('remoteSettings', (settings) => {
    entry.most = settings.maxConcurrentStreams ?? Infinity
    resolve()
  }))
  session.on('error', () => {})
  session.on('close', () => sessions.splice(sessions.indexOf(entry), 1))
  sessions.push(entry)
  return entry
}

const overH2 = async (req, res) => {
  let entry
  for (;;) {
    entry = sessions.find((s) => s.open < s.most) ?? connect()
    if (entry.most !== Infinity) break
    await entry.ready
  }
  entry.open++
  const up = entry.session.request({ ':path': req.url, ...headersOf(req) })
  up.on('response', (headers) => {
    res.writeHead(headers[':status'], { 'content-type': headers['content-type'], 'cache-control': 'no-store' })
    up.pipe(res)
  })
  up.on('error', () => res.destroy())
  up.on('close', () => { entry.open--; res.destroy() })
  res.on('close', () => up.close())
}

const server = http.createServer(proto === 'h2' ? overH2 : overH1)
server.requestTimeout = 0
const [host, port] = listen.split(':')
server.listen({ host, port: Number(port), backlog: 4096 })
process.on('SIGUSR2', () => globalThis.gc?.())
