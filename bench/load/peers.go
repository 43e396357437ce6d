package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

//go:embed relay.mjs
var nodeRelay []byte

// peer is one program between browsers and the control plane.
type peer struct {
	name string
	// start runs it. The stage has the address of the control plane.
	start func(context.Context, *stage) (*process, error)
	// settle makes it free unused memory; nil if it can only be waited for.
	settle func(*stage)
	ours   bool
	alone  bool // needs no control plane: events are posted to it
	onlyH2 bool // does not support control planes without HTTP/2
}

var peers = []peer{
	{name: "direct"},
	{name: "nginx", start: startNginx},
	{name: "Caddy", start: startCaddy, settle: settleCaddy},
	{name: "ReverseProxy", start: startSelf("reverse"), settle: signalUSR1},
	{name: "naive Go", start: startSelf("naive"), settle: signalUSR1},
	{name: "floor", start: startSelf("floor"), settle: signalUSR1, onlyH2: true},
	{name: "Node", start: startNode, settle: func(s *stage) { _ = s.proc.cmd.Process.Signal(syscall.SIGUSR2) }},
	{name: "nchan", start: startNchan, alone: true},
	{name: "relay", start: startRelay, settle: settleRelay, ours: true},
}

func startSelf(part string) func(context.Context, *stage) (*process, error) {
	return func(ctx context.Context, s *stage) (*process, error) {
		return start(ctx, s.dir, []string{s.addr}, s.env(), s.self, s.shape.args(part, s.addr, s.upstream)...)
	}
}

func signalUSR1(s *stage) { _ = s.proc.cmd.Process.Signal(syscall.SIGUSR1) }

const nginxConf = `daemon off; user root; worker_processes %[6]d; worker_rlimit_nofile 20000; pid %[1]s/nginx.pid; error_log stderr;
%[4]s
events { worker_connections 20000; }
http {
	access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen %[2]s backlog=4096;
		location / {
			proxy_pass %[3]s; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;
			proxy_ssl_trusted_certificate %[1]s/cert.pem; proxy_ssl_verify on; proxy_ssl_name localhost;
			proxy_set_header Connection ""; proxy_set_header Authorization "Bearer afm_bench";
		}
		%[5]s
	}
}
`

func nginx(ctx context.Context, s *stage, modules, locations string) (*process, error) {
	if _, err := exec.LookPath("nginx"); err != nil {
		return nil, errNoPeer
	}
	conf := filepath.Join(s.dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, s.dir, s.addr, s.shape.proto.base(s.upstream), modules, locations, s.shape.cores)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, s.dir, []string{s.addr}, nil, "nginx", "-c", conf)
}

func startNginx(ctx context.Context, s *stage) (*process, error) { return nginx(ctx, s, "", "") }

func startNchan(ctx context.Context, s *stage) (*process, error) {
	const module = "/usr/lib/nginx/modules/ngx_nchan_module.so"
	if _, err := os.Stat(module); err != nil {
		return nil, errNoPeer
	}
	return nginx(ctx, s, "load_module "+module+";", `
		location = /pub { nchan_publisher; nchan_channel_id bench; nchan_message_buffer_length 4000; }
		location = /sub { nchan_subscriber eventsource; nchan_channel_id bench; nchan_subscriber_first_message oldest; }`)
}

// caddyfile binds to the one address: Caddy would bind to the port on all addresses, and
// the client's closed connections hold most ports of their addresses for a while.
const caddyfile = `{
	admin %[1]s
	auto_https off
}
http://%[2]s {
	bind 127.0.0.1
	reverse_proxy %[3]s {
		flush_interval -1
		header_up Authorization "Bearer %[4]s"
		%[5]s
	}
}
`

func startCaddy(ctx context.Context, s *stage) (*process, error) {
	if _, err := exec.LookPath("caddy"); err != nil {
		return nil, errNoPeer
	}
	conf := filepath.Join(s.dir, "Caddyfile")
	var transport string // Caddy would ignore SSL_CERT_FILE alone
	switch s.shape.proto {
	case protoH2:
		transport = fmt.Sprintf("transport http {\ntls_trusted_ca_certs %s/cert.pem\nversions 1.1 2\n}", s.dir)
	case protoH1:
		transport = fmt.Sprintf("transport http {\ntls_trusted_ca_certs %s/cert.pem\nversions 1.1\n}", s.dir)
	case protoPlain:
	}
	text := fmt.Sprintf(caddyfile, s.admin, s.addr, s.shape.proto.base(s.upstream), planeKey, transport)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, s.dir, []string{s.addr}, s.env("HOME="+s.dir), "caddy", "run", "--config", conf, "--adapter", "caddyfile")
}

// settleCaddy waits while Caddy collects its garbage. Caddy has no command to free memory
// at once, but does so in the background.
func settleCaddy(s *stage) {
	res, err := s.http.Get("http://" + s.admin + "/debug/pprof/heap?gc=1")
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
}

func startNode(ctx context.Context, s *stage) (*process, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return nil, errNoPeer
	}
	script := filepath.Join(s.dir, "relay.mjs")
	if err := os.WriteFile(script, nodeRelay, 0o600); err != nil {
		return nil, err
	}
	return start(ctx, s.dir, []string{s.addr}, nil, "node", "--expose-gc", script, s.addr, s.shape.proto.base(s.upstream).String(),
		string(s.shape.proto), filepath.Join(s.dir, certFile))
}

// startRelay runs the relay as an operator would, with SQLite, limits and metrics. The
// limits are raised only enough to admit the one client, which simulates all visitors.
func startRelay(ctx context.Context, s *stage) (*process, error) {
	return start(ctx, s.dir, []string{s.addr}, s.env(
		"ANYFRAME_API_KEY="+planeKey, "ANYFRAME_AGENT_ID=1", "ANYFRAME_BASE_URL="+s.shape.proto.base(s.upstream).String(),
		"RELAY_ADDR="+s.addr, "RELAY_ADMIN_ADDR="+s.admin, "RELAY_STORE=sqlite:"+filepath.Join(s.dir, "relay.db"),
		"RELAY_LOG_LEVEL=warn", "RELAY_RATE_IP=100000000/m", "RELAY_RATE_SESSIONS=100000000/h", "RELAY_MAX_SESSIONS=100000",
		"RELAY_STREAMS_PER_IP=100000", "RELAY_STREAMS_PER_VISITOR=100000", "RELAY_STREAM_LIFETIME=1h",
	), s.binary)
}

func settleRelay(s *stage) {
	res, err := s.http.Post("http://"+s.admin+"/debug/free", "", nil)
	if err == nil {
		_ = res.Body.Close()
	}
}
