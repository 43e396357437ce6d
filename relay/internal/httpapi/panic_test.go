package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/redact"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
	"github.com/anyframe-relay/relay/relay/internal/upstream"
)

// A key in AnyFrame's format, and the part of it that must stay secret.
const (
	testSecret = "Zq7Kp2Vw9XtB4nRmD6sL"
	testMarked = "afm_canary_" + testSecret
)

// panicking returns how the relay handles a handler that panics.
func panicking(t *testing.T, handler http.HandlerFunc) (rec *httptest.ResponseRecorder, log string, passedOn any) {
	t.Helper()
	var logs bytes.Buffer
	s := &api{metrics: telemetry.NewMetrics(prometheus.NewRegistry()), log: slog.New(redact.NewHandler(slog.NewJSONHandler(&logs, nil), redact.KeyPatterns(testMarked), upstream.Describe))}
	rec = httptest.NewRecorder()
	func() {
		defer func() { passedOn = recover() }()
		s.recover(handler).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	}()
	return rec, logs.String(), passedOn
}

func TestPanic_BeforeAnswer_ProblemAndStackLogged(t *testing.T) {
	for name, cause := range map[string]any{
		"an error":        fmt.Errorf("the key is %s", testMarked),
		"a text":          "the key is " + testMarked,
		"something else":  struct{ Key string }{testMarked},
		"our own mistake": http.ErrBodyNotAllowed,
	} {
		rec, log, passedOn := panicking(t, func(http.ResponseWriter, *http.Request) { panic(cause) })
		var doc problem.Document
		if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil || rec.Code != http.StatusInternalServerError || doc.Code != "internal" || passedOn != nil {
			t.Errorf("%s: got %d %s and a panic %v, want a problem internal and no panic", name, rec.Code, rec.Body, passedOn)
		}
		for _, want := range []string{`"msg":"panic"`, `"cause":"`, `"stack":"goroutine `, "panic_test.go"} {
			if !strings.Contains(log, want) {
				t.Errorf("%s: got log %s, want %s in it", name, log, want)
			}
		}
		if all := log + rec.Body.String(); strings.Contains(all, testSecret[:8]) {
			t.Errorf("%s: got %s, want nothing of the key", name, all)
		}
	}
}

// An answer that ends cleanly would look complete.
func TestPanic_DuringAnswer_ConnectionCut(t *testing.T) {
	for name, cause := range map[string]any{"a panic": "oh", "a wish to abort": http.ErrAbortHandler} {
		s := &api{metrics: telemetry.NewMetrics(prometheus.NewRegistry()), log: slog.New(slog.DiscardHandler)}
		web := httptest.NewServer(s.observe(s.recover(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(cause)
		}))))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		if _, err = body.ReadFrom(res.Body); err == nil || body.String() != "half" {
			t.Errorf("%s: got %q and error %v, want half and an error", name, body.String(), err)
		}
		res.Body.Close()
		web.Close()
	}
}
