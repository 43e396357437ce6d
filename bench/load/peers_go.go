package main

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// newTransport does not queue thousands of streams to one host.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.MaxIdleConns = 1024, 0
	t.DisableCompression = true
	return t
}

// serveNaive is the obvious implementation of a relay: one upstream stream per tab,
// copied as it arrives.
func serveNaive(addr string, upstream *url.URL) error {
	client := &http.Client{Transport: newTransport()}
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // loopback, for minutes
		req, err := http.NewRequestWithContext(r.Context(), r.Method, upstream.String()+r.URL.RequestURI(), nil)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		req.Header.Set("Authorization", "Bearer "+planeKey)
		if id := r.Header.Get("Last-Event-ID"); id != "" {
			req.Header.Set("Last-Event-ID", id)
		}
		res, err := client.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(flusher{w, http.NewResponseController(w)}, res.Body) // either side may leave
	}))
}

type flusher struct {
	w  io.Writer
	rc *http.ResponseController
}

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

// serveReverse is the standard library's proxy, unbuffered.
func serveReverse(addr string, upstream *url.URL) error {
	return http.ListenAndServe(addr, &httputil.ReverseProxy{ //nolint:gosec // loopback, for minutes
		Transport: newTransport(), FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", "Bearer "+planeKey)
		},
	})
}
