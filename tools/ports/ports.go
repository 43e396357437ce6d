// Package ports finds addresses for programs that cannot listen on port 0 and
// report their port: their caller has to choose one.
package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
)

// tried counts the ports that this process has tried.
var tried atomic.Int32

// Free returns a loopback address on which nothing listens. Its port is below the
// range of outgoing connections. One of those could take the port before the
// program starts, or while it is down. Another program can still listen on the port
// first, so start programs with [Try].
func Free(ctx context.Context) (string, error) {
	for range 1000 {
		port := 10000 + (os.Getpid()*101+int(tried.Add(1)))%10000
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprint("127.0.0.1:", port))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
	return "", errors.New("no port is free")
}

// attempts is the number of addresses that Try uses.
const attempts = 10

// Try calls start with free addresses until it does not fail because an address is
// in use. The error should include the program's output.
func Try(ctx context.Context, start func(addr string) error) error {
	for attempt := 1; ; attempt++ {
		addr, err := Free(ctx)
		if err != nil {
			return err
		}
		if err = start(addr); err == nil || attempt == attempts || !Taken(err.Error()) || ctx.Err() != nil {
			return err
		}
	}
}

// Taken reports whether a program's output says that its address is in use, in the
// words of the system or of the relay.
func Taken(output string) bool {
	return strings.Contains(strings.ToLower(output), "address already in use")
}
