package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/tools/ports"
)

//go:embed relay.mjs
var nodeRelay []byte

// peer is one program that stands between browsers and the control plane.
type peer struct {
	name string
	// start runs it. The stage knows where the control plane is.
	start func(context.Context, *stage) (*process, error)
	// settle makes it give back the memory that it does not need; nil when there
	// is nothing to be done but to wait.
	settle func(*stage)
	ours   bool
	alone  bool // needs no control plane: events are posted to it
}

var peers = []peer{
	{name: "direct"},
	{name: "nginx", start: startNginx},
	{name: "Caddy", start: startCaddy, settle: settleCaddy},
	{name: "ReverseProxy", start: startSelf("reverse"), settle: signalUSR1},
	{name: "naive Go", start: startSelf("naive"), settle: signalUSR1},
	{name: "Node", start: startNode, settle: func(s *stage) { _ = s.proc.cmd.Process.Signal(syscall.SIGUSR2) }},
	{name: "nchan", start: startNchan, alone: true},
	{name: "relay", start: startRelay, settle: settleRelay, ours: true},
}

// stage is one run: a control plane, a peer, and the client.
type stage struct {
	dir, self, binary  string
	plane, addr, admin string // addresses
	planeProc, proc    *process
	peer               peer
	http               *http.Client
}

// raise starts the control plane and the peer.
func raise(ctx context.Context, p peer, self, binary string) (_ *stage, err error) {
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, self: self, binary: binary, peer: p, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}}
	defer func() {
		if err != nil {
			s.strike()
		}
	}()
	if err = ports.Try(ctx, func(addr string) (err error) {
		s.plane = addr
		s.planeProc, err = start(ctx, dir, addr, nil, self, "plane", addr)
		return err
	}); err != nil {
		return nil, err
	}
	if p.start == nil {
		s.addr = s.plane
		return s, nil
	}
	err = ports.Try(ctx, func(addr string) (err error) {
		if s.admin, err = ports.Free(ctx); err != nil {
			return err
		}
		s.addr = addr
		s.proc, err = p.start(ctx, s)
		return err
	})
	return s, err
}

func (s *stage) strike() {
	for _, p := range []*process{s.proc, s.planeProc} {
		if p != nil {
			p.stop()
		}
	}
	s.http.CloseIdleConnections()
	_ = os.RemoveAll(s.dir)
}

func startSelf(part string) func(context.Context, *stage) (*process, error) {
	return func(ctx context.Context, s *stage) (*process, error) {
		return start(ctx, s.dir, s.addr, nil, s.self, part, s.addr, s.plane)
	}
}

func signalUSR1(s *stage) { _ = s.proc.cmd.Process.Signal(syscall.SIGUSR1) }

const nginxConf = `daemon off; user root; worker_processes auto; worker_rlimit_nofile 20000; pid %[1]s/nginx.pid; error_log stderr;
%[4]s
events { worker_connections 20000; }
http {
	access_log off; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	server {
		listen %[2]s backlog=4096;
		location / {
			proxy_pass http://%[3]s; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 1h;
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
	text := fmt.Sprintf(nginxConf, s.dir, s.addr, s.plane, modules, locations)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, s.dir, s.addr, nil, "nginx", "-c", conf)
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

// caddyfile binds to the one address: Caddy would bind to the port of all, and
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
	}
}
`

func startCaddy(ctx context.Context, s *stage) (*process, error) {
	if _, err := exec.LookPath("caddy"); err != nil {
		return nil, errNoPeer
	}
	conf := filepath.Join(s.dir, "Caddyfile")
	text := fmt.Sprintf(caddyfile, s.admin, s.addr, s.plane, planeKey)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, s.dir, s.addr, []string{"HOME=" + s.dir}, "caddy", "run", "--config", conf, "--adapter", "caddyfile")
}

// settleCaddy lets Caddy collect its garbage; it cannot be told to give the
// memory back at once, but does so in the background.
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
	return start(ctx, s.dir, s.addr, nil, "node", "--expose-gc", script, s.addr, s.plane)
}

// startRelay runs the program that people run: SQLite, limits and metrics on,
// only so wide that the client, who is everybody at once, is not kept out.
func startRelay(ctx context.Context, s *stage) (*process, error) {
	return start(ctx, s.dir, s.addr, []string{
		"ANYFRAME_API_KEY=" + planeKey, "ANYFRAME_AGENT_ID=1", "ANYFRAME_BASE_URL=http://" + s.plane,
		"RELAY_ADDR=" + s.addr, "RELAY_ADMIN_ADDR=" + s.admin, "RELAY_STORE=sqlite:" + filepath.Join(s.dir, "relay.db"),
		"RELAY_LOG_LEVEL=warn", "RELAY_RATE_IP=100000000/m", "RELAY_RATE_SESSIONS=100000000/h", "RELAY_MAX_SESSIONS=100000",
		"RELAY_STREAMS_PER_IP=100000", "RELAY_STREAMS_PER_VISITOR=100000", "RELAY_STREAM_LIFETIME=1h",
	}, s.binary)
}

func settleRelay(s *stage) {
	res, err := s.http.Post("http://"+s.admin+"/debug/free", "", nil)
	if err == nil {
		_ = res.Body.Close()
	}
}

// settled gives the peer time to come to rest.
func (s *stage) settled() {
	for range 2 {
		if s.peer.settle != nil {
			s.peer.settle(s)
		}
		time.Sleep(time.Second)
	}
}

func (s *stage) cpu() float64 {
	if s.proc == nil {
		return 0
	}
	return s.proc.cpu()
}

// profile writes a CPU profile of the relay to the file that LOAD_PROFILE names,
// if any. The caller calls the result to wait for it.
func (s *stage) profile(ctx context.Context, seconds int) (wait func()) {
	name := os.Getenv("LOAD_PROFILE")
	if name == "" || !s.peer.ours {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.fetch(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), name) })
	return wg.Wait
}

// heap writes what the relay's memory is held by, and its metrics, beside the
// file that LOAD_PROFILE names, if any.
func (s *stage) heap(ctx context.Context) {
	if name := os.Getenv("LOAD_PROFILE"); name != "" && s.peer.ours {
		s.fetch(ctx, "/debug/pprof/heap", name+".heap")
		s.fetch(ctx, "/debug/pprof/goroutine?debug=1", name+".goroutines")
		s.fetch(ctx, "/metrics", name+".metrics")
	}
}

// fetch keeps what the admin listener answers in a file; whoever wants it sees
// if it is not there.
func (s *stage) fetch(ctx context.Context, path, name string) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil) // our own address: cannot fail
	res, err := s.http.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if data, err := io.ReadAll(res.Body); err == nil {
		_ = os.WriteFile(name, data, 0o600)
	}
}

// post makes a call and decodes the answer into out, unless that is nil.
func (s *stage) post(ctx context.Context, url, token, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: got %d %s", url, res.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

// visitors makes n sessions with one stream each. With asleep, the visitors
// have said nothing yet, and no stream upstream is open for them.
func (s *stage) visitors(ctx context.Context, n int, asleep bool) (*fleet, error) {
	f := &fleet{addr: s.addr, streams: make([]*tab, n)}
	switch {
	case s.peer.ours:
		return f, s.introduce(ctx, f, asleep)
	case s.peer.alone:
		for i := range n {
			f.streams[i] = &tab{fleet: f, number: i, path: "/sub"}
		}
		return f, nil
	}
	var ids []string
	if err := s.post(ctx, fmt.Sprintf("http://%s/bench/sessions?n=%d", s.plane, n), "", "", &ids); err != nil {
		return nil, err
	}
	for i, id := range ids {
		f.streams[i] = &tab{fleet: f, number: i, path: "/api/sessions/" + id + "/events", token: planeKey}
	}
	return f, nil
}

// introduce makes visitors of ours, by the front door.
func (s *stage) introduce(ctx context.Context, f *fleet, asleep bool) error {
	return inSixteen(len(f.streams), func(i int) error {
		var v struct {
			Token string `json:"token"`
		}
		err := s.post(ctx, "http://"+s.addr+"/v1/visitor", "", `{"carrier":"bearer"}`, &v)
		if err == nil && !asleep {
			err = s.post(ctx, "http://"+s.addr+"/v1/messages", v.Token, `{"text":"hello"}`, nil)
		}
		f.streams[i] = &tab{fleet: f, number: i, path: "/v1/events", token: v.Token, idPath: "1-"}
		return err
	})
}

// play lets every session speak, and waits for the end of it.
func (s *stage) play(ctx context.Context, rate float64, events int) error {
	url := fmt.Sprintf("http://%s/bench/play?rate=%s&events=%d", s.plane, strconv.FormatFloat(rate, 'f', -1, 64), events)
	return s.post(ctx, url, "", "", nil)
}

// publish posts events at a rate to a peer that is told them, one after the
// other.
func (s *stage) publish(ctx context.Context, rate float64, from, events int) error {
	begun := time.Now()
	for n := range events {
		time.Sleep(time.Until(begun.Add(time.Duration(float64(n) / rate * float64(time.Second)))))
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"text":"%s%d.%d %s","delta":true}`, marker, time.Now().UnixNano(), from+n+1, padding)
		if err := s.post(ctx, "http://"+s.addr+"/pub", "", b.String(), nil); err != nil {
			return err
		}
	}
	return nil
}
