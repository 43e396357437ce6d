package admin_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anyframe-relay/relay/relay/internal/admin"
	"github.com/anyframe-relay/relay/relay/internal/control"
	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/anyframe-relay/relay/relay/internal/store/memory"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// hangsUp is a store that calls cancel once a decision is stored or removed. It fails
// with an ended context, like those over a network.
type hangsUp struct {
	store.RecordStore
	cancel context.CancelFunc
}

func (h *hangsUp) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	defer h.cancel()
	return h.RecordStore.SaveRecord(ctx, r)
}

func (h *hangsUp) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	defer h.cancel()
	return h.RecordStore.DeleteRecord(ctx, kind, key, version)
}

func (h *hangsUp) RecordsRevision(ctx context.Context, kind string) (int64, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return h.RecordStore.RecordsRevision(ctx, kind)
}

// A decision is in force once it is stored, so the log must name its operator even if
// that operator has disconnected.
func TestHandler_OperatorDisconnects_DecisionInForceAndLogged(t *testing.T) {
	t.Parallel()
	rows := &hangsUp{RecordStore: memory.New()}
	var logs bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logs, nil))
	decisions := control.New(control.Options{Store: rows, Log: log})
	a := admin.New(admin.Options{}, admin.Parts{
		Control: decisions, Records: rows, Page: fstest.MapFS{}, Metrics: telemetry.NewMetrics(prometheus.NewRegistry()), Log: log,
	})
	handler := a.Handler(http.NotFoundHandler(), http.NotFoundHandler())
	for n, op := range []string{
		`PUT /api/pause {}`, `PUT /api/banner {"text":"Hi"}`, `PUT /api/blocks/192.0.2.7 {}`,
		`DELETE /api/blocks/192.0.2.7 `, `DELETE /api/banner `, `DELETE /api/pause `,
	} {
		part := strings.SplitN(op, " ", 3)
		ctx, cancel := context.WithCancel(t.Context())
		rows.cancel = cancel
		req := httptest.NewRequestWithContext(ctx, part[0], "http://localhost"+part[1], strings.NewReader(part[2]))
		req.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, req)
		if got := strings.Count(logs.String(), "msg=audit"); ctx.Err() == nil || rec.Code/100 != 2 || got != n+1 {
			t.Errorf("%s: got %d %s and %d audit lines, want success after the request's end, and %d", op, rec.Code, rec.Body, got, n+1)
		}
	}
}
