package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anyframe-relay/relay/tools/ports"
)

// stage is one run: a control plane, a peer, and the client.
type stage struct {
	dir, self, binary  string
	plane, addr, admin string // addresses; the client uses plane
	upstream           string // the address for the peers; the same if it is plain
	planeProc, proc    *process
	peer               peer
	shape              shape
	http               *http.Client
}

// env returns the environment of a peer: its number of cores, the certificates it trusts,
// and when it collects garbage.
func (s *stage) env(more ...string) []string {
	if s.shape.gogc > 0 {
		more = append(more, fmt.Sprint("GOGC=", s.shape.gogc))
	}
	return append([]string{fmt.Sprint("GOMAXPROCS=", s.shape.cores), "SSL_CERT_FILE=" + filepath.Join(s.dir, certFile)}, more...)
}

// raise starts the control plane and the peer.
func raise(ctx context.Context, p peer, sh shape, self, binary string) (_ *stage, err error) {
	dir, err := os.MkdirTemp("", "load-")
	if err != nil {
		return nil, err
	}
	s := &stage{dir: dir, self: self, binary: binary, peer: p, shape: sh, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext,
	}}}
	defer func() {
		if err != nil {
			s.strike()
		}
	}()
	if err = certify(dir); err != nil {
		return nil, err
	}
	if err = ports.Try(ctx, func(addr string) (err error) {
		s.plane, s.upstream = addr, addr
		if sh.proto != protoPlain {
			if s.upstream, err = ports.Free(ctx); err != nil {
				return err
			}
		}
		s.planeProc, err = start(ctx, dir, []string{addr, s.upstream}, nil, self, sh.args("plane", addr, s.upstream, dir)...)
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

// calm waits until the peer has processed the last events: until it has used little
// processor time for two seconds. It returns how long that took, without those two seconds.
func (s *stage) calm(ctx context.Context) (time.Duration, error) {
	const look, enough, most = 500 * time.Millisecond, 4, 5 * time.Minute
	begun := time.Now()
	for quiet, before := 0, s.cpu(); quiet < enough; {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		now := s.cpu()
		if quiet++; now-before > 0.05*look.Seconds() {
			quiet = 0
		}
		if before = now; time.Since(begun) > most {
			return 0, errors.New("the program does not come to rest")
		}
	}
	return max(0, time.Since(begun)-enough*look), nil
}

// settled gives the peer time to become idle.
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

// profile writes a CPU profile of the relay to the file named by LOAD_PROFILE, if any. The
// caller calls the result to wait for it.
func (s *stage) profile(ctx context.Context, seconds int) (wait func()) {
	name := os.Getenv("LOAD_PROFILE")
	if name == "" || !s.peer.ours {
		return func() {}
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.fetch(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds), name) })
	return wg.Wait
}

// heap writes the relay's heap profile and its metrics beside the file named by
// LOAD_PROFILE, if any.
func (s *stage) heap(ctx context.Context) {
	if name := os.Getenv("LOAD_PROFILE"); name != "" && s.peer.ours {
		s.fetch(ctx, "/debug/pprof/heap", name+".heap")
		s.fetch(ctx, "/debug/pprof/goroutine?debug=1", name+".goroutines")
		s.fetch(ctx, "/metrics", name+".metrics")
	}
}

// fetch stores a response of the admin listener in a file. If there is an error, the file
// is missing.
func (s *stage) fetch(ctx context.Context, path, name string) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+path, nil) // the address is local: cannot fail
	res, err := s.http.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if data, err := io.ReadAll(res.Body); err == nil {
		_ = os.WriteFile(name, data, 0o600)
	}
}

// post makes a call and decodes the response into out, unless that is nil.
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

// visitors creates n sessions with one stream each. With asleep, the visitors have not sent
// a message, and no upstream stream is open for them.
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

// introduce creates visitors through the relay's API.
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

// play lets every session speak, and waits for the end.
func (s *stage) play(ctx context.Context, rate float64, events int) error {
	url := fmt.Sprintf("http://%s/bench/play?rate=%s&events=%d", s.plane, strconv.FormatFloat(rate, 'f', -1, 64), events)
	return s.post(ctx, url, "", "", nil)
}

// publish posts events at a rate, one after the other, to a peer that receives them that
// way.
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
