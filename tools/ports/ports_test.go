package ports_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/tools/ports"
)

func TestTry_AddressTakenMeanwhile(t *testing.T) {
	t.Parallel()
	var addrs []string
	err := ports.Try(t.Context(), func(addr string) error {
		addrs = append(addrs, addr)
		if len(addrs) < 3 { // another program listens first
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
			if err != nil {
				return err
			}
			defer l.Close()
			again, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
			if err == nil {
				_ = again.Close()
			}
			return fmt.Errorf("the program ended: %w", err)
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			return err
		}
		return l.Close()
	})
	if err != nil || len(addrs) < 3 {
		t.Fatalf("got %v after %v, want a start at the third address", err, addrs)
	}
	if addrs[0] == addrs[1] || addrs[1] == addrs[2] {
		t.Errorf("got %v, want another address each time", addrs)
	}
}

func TestTry_OtherErrors(t *testing.T) {
	t.Parallel()
	taken := errors.New("bind: Address already in use")
	for _, test := range []struct {
		err  error
		once bool
	}{{errors.New("no such file"), true}, {taken, false}} {
		calls := 0
		err := ports.Try(t.Context(), func(string) error { calls++; return test.err })
		if !errors.Is(err, test.err) || (calls == 1) != test.once {
			t.Errorf("%v: got %v after %d starts, want one start, or several if the address is taken", test.err, err, calls)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	_ = ports.Try(ctx, func(string) error { calls++; cancel(); return taken })
	if calls != 1 {
		t.Errorf("got %d starts, want no more when the context has ended", calls)
	}
}

// The output of every program that is started this way is recognized.
func TestTaken(t *testing.T) {
	t.Parallel()
	for _, output := range []string{
		"# Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use",
		"nginx: [emerg] bind() to 127.0.0.1:80 failed (98: Address already in use)",
		"listening on 127.0.0.1:443: listen tcp 127.0.0.1:443: bind: address already in use",
		"Error: listen EADDRINUSE: address already in use 127.0.0.1:8080",
		"relay: listen on 127.0.0.1:8080: address already in use; set RELAY_ADDR to another address",
	} {
		if !ports.Taken(output) {
			t.Errorf("got %q not taken for an address in use", output)
		}
	}
	if ports.Taken("nginx: [emerg] unknown directive") {
		t.Error("got another error taken for an address in use")
	}
}

func TestFree_BelowOutgoingPorts(t *testing.T) {
	t.Parallel()
	addr, err := ports.Free(t.Context())
	if err != nil || !strings.HasPrefix(addr, "127.0.0.1:1") || len(addr) != len("127.0.0.1:10000") {
		t.Errorf("got %q, %v, want a port from 10000 to 19999", addr, err)
	}
}
