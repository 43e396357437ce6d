package redistest

import (
	"net"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/ports"
)

func TestStart_PortTaken(t *testing.T) {
	t.Parallel()
	other := Start(t)
	s := &Server{t: t, dir: t.TempDir(), Addr: other.Addr}
	s.args = append([]string{}, other.args...)
	for i, arg := range s.args {
		s.args[i] = strings.ReplaceAll(arg, other.dir, s.dir)
	}
	err := s.start() // another Redis answers there
	s.Kill()
	if err == nil || !ports.Taken(err.Error()) {
		t.Errorf("got %v, want an error that makes the start try another port", err)
	}

	var taken string
	got := launch(t, func(s *Server) []string {
		if taken == "" { // listen on the port that the server is about to use
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", s.Addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			taken = s.Addr
		}
		args := append([]string{}, other.args...)
		for i, arg := range args {
			args[i] = strings.ReplaceAll(strings.ReplaceAll(arg, other.dir, s.dir), other.port(), s.port())
		}
		return args
	})
	if got.Addr == taken {
		t.Errorf("got a server on %s, want it elsewhere: the port is taken", taken)
	}
	if err := got.Client().Ping(t.Context()).Err(); err != nil {
		t.Error(err)
	}
}
