package httpapi

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// onePipe is a listener with one unbuffered connection.
type onePipe struct {
	conn chan net.Conn
	over chan struct{}
}

func (p onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conn:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}

func (p onePipe) Close() error { close(p.over); return nil }

func (onePipe) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestAnswer_NotReadInTenSeconds_ReleasedAndCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		network := onePipe{make(chan net.Conn, 1), make(chan struct{})}
		network.conn <- theirs
		var began, took time.Duration
		start := time.Now()
		web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			began = time.Since(start)
			defer func() { took = time.Since(start) - began }()
			size := 1 << 20
			if r.URL.Path == "/small" {
				size = 10
			}
			if err := writeInTime(w, make([]byte, size)); err != nil {
				t.Error(err)
			}
		})}
		go func() { _ = web.Serve(network) }()
		defer time.Sleep(time.Second) // in which net/http releases what it has closed
		defer web.Close()
		in := bufio.NewReader(ours)
		for _, path := range []string{"/small", "/small", "/large"} {
			time.Sleep(time.Minute) // the deadline of one response does not apply to the next
			if _, err := io.WriteString(ours, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if path == "/small" {
				if body, err := io.ReadAll(res.Body); err != nil || len(body) != 10 {
					t.Errorf("got %d bytes and error %v, want all 10", len(body), err)
				}
				continue
			}
			synctest.Wait()
			time.Sleep(answerTimeout)
			synctest.Wait()
			if took != answerTimeout {
				t.Errorf("the handler took %v, want %v", took, answerTimeout)
			}
			if _, err := io.Copy(io.Discard, res.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the rest: got error %v, want it cut off", err)
			}
		}
	})
}
