package deploy_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/tools/testtools"

	"go.yaml.in/yaml/v3"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/ports"
)

// metricNames returns the names of the relay's metrics, from its source.
func metricNames(t *testing.T) []string {
	t.Helper()
	var names []string
	made := regexp.MustCompile(`(?:gauges?|counters?|histograms?)\("(relay_[a-z_]+)"|Name:\s+"(relay_[a-z_]+)"`)
	for _, pattern := range []string{"../relay/*.go", "../relay/internal/*/*.go", "../relay/internal/store/*/*.go", "../cmd/relay/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range made.FindAllStringSubmatch(read(t, file), -1) {
				names = append(names, m[1]+m[2])
			}
		}
	}
	if len(names) < 25 {
		t.Fatalf("got %d metrics in the source, want all", len(names))
	}
	return names
}

var metricName = regexp.MustCompile(`\brelay_[a-z_]+[a-z]\b`)

// used returns the relay's metrics that an expression names.
func used(expr string) (names []string) {
	for _, name := range metricName.FindAllString(expr, -1) {
		names = append(names, strings.TrimSuffix(name, "_bucket"))
	}
	return names
}

// rules is the content of alerts.yaml.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func alerts(t *testing.T) map[string]string {
	t.Helper()
	var r rules
	if err := yaml.Unmarshal([]byte(read(t, "alerts.yaml")), &r); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, g := range r.Groups {
		for _, a := range g.Rules {
			all[a.Alert] = a.Expr
			if s := a.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("%s: got severity %q, want page or ticket", a.Alert, s)
			}
		}
	}
	return all
}

// dashboard is the part of grafana.json that the tests check.
type dashboard struct {
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int } `json:"gridPos"`
		Targets []struct{ Expr string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Templating  struct{ List []struct{ Name string } }
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "grafana.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 30 {
		t.Fatalf("got %d panels, want the dashboard", len(d.Panels))
	}
	return d
}

func TestMonitoring_Metrics_Exist(t *testing.T) {
	t.Parallel()
	names := metricNames(t)
	seen := map[string]bool{}
	check := func(where, expr string) {
		t.Helper()
		for _, name := range used(expr) {
			if seen[name] = true; !slices.Contains(names, name) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	for name, expr := range alerts(t) {
		check(name, expr)
	}
	ids := map[int]bool{}
	for _, p := range readDashboard(t).Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: got a place that is taken or too wide", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			check(p.Title, target.Expr)
		}
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("%s: neither an alert nor the dashboard uses it, want it looked at or gone", name)
		}
	}
}

// series is a metric's values at intervals of one minute, in promtool's notation.
type series struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

func of(metric, labels, values string) series {
	if labels != "" {
		labels = "," + labels
	}
	return series{fmt.Sprintf(`%s{job="relay",instance="a"%s}`, metric, labels), values}
}

// slow is a histogram in which one observation in a hundred is within the bound.
func slow(metric, within, beyond string) []series {
	return []series{
		of(metric+"_bucket", `le="`+within+`"`, "0+1x90"), of(metric+"_bucket", `le="`+beyond+`"`, "0+100x90"), of(metric+"_bucket", `le="+Inf"`, "0+100x90"),
	}
}

func TestMonitoring_Alerts_FireOnFaultOnly(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "promtool")
	const half = 30 * time.Minute
	storms := map[string]struct {
		at     time.Duration
		series []series
	}{
		"RelayDown":                {5 * time.Minute, []series{of("up", "", "0x10")}},
		"RelayRestarts":            {5 * time.Minute, []series{of("process_start_time_seconds", "", "1 2 3 4 5 6")}},
		"RelayKeyRefused":          {5 * time.Minute, []series{of("relay_upstream_key_refused", "", "1x10")}},
		"RelayAnyFrameUnavailable": {10 * time.Minute, []series{of("relay_upstream_breaker_open", "", "1x20")}},
		"RelayStopsFail":           {half, []series{of("relay_stops_failed_total", "", "0+2x60")}},
		"RelayTurnsFail":           {half, []series{of("relay_turns_total", `result="accepted"`, "0+10x60"), of("relay_turns_total", `result="upstream_failed"`, "0+2x60")}},
		"RelayStoreErrors":         {half, []series{of("relay_store_errors_total", `op="session"`, "0+5x60")}},
		"RelayErasuresStuck":       {27 * time.Hour, []series{of("relay_erasures_pending", "", "1x1700")}},
		"RelayPanics":              {10 * time.Minute, []series{of("relay_panics_total", "", "0 0 0 1x20")}},
		"RelayInternalErrors":      {10 * time.Minute, []series{of("relay_refusals_total", `code="internal"`, "1 1 1 2x20")}},
		"RelayStoreSlow":           {half, slow("relay_store_seconds", "0.25", "1")},
		"RelayBootsFail":           {half, []series{of("relay_session_wakes_total", `kind="new",result="ok"`, "0+5x60"), of("relay_session_wakes_total", `kind="new",result="upstream_failed"`, "0+2x60")}},
		"RelayBootsSlow":           {80 * time.Minute, slow("relay_session_wake_seconds", "60", "180")},
		"RelayFirstWordSlow":       {80 * time.Minute, slow("relay_turn_first_event_seconds", "30", "60")},
		"RelayAtCapacity":          {10 * time.Minute, []series{of("relay_capacity_refusals_total", `cause="awake"`, "1+1x20")}},
		"RelaySandboxesNearLimit":  {half, []series{of("relay_sessions_awake", "", "190x60"), of("relay_sessions_awake_limit", "", "200x60")}},
		"RelayStreamsNearLimit":    {half, []series{of("relay_streams_open", "", "950x60"), of("relay_streams_limit", "", "1000x60")}},
		"RelaySpendsMore":          {26 * time.Hour, []series{of("relay_session_wakes_total", `kind="new",result="ok"`, "0x1500 1+1x70")}},
		"RelayWebhookFails":        {50 * time.Minute, []series{of("relay_webhook_off", "", "0x90"), of("relay_webhook_waiting", "", "3x90"), of("relay_webhook_deliveries_total", `result="delivered"`, "5x90")}},
		"RelayPaused":              {70 * time.Minute, []series{of("relay_paused", "", "1x90")}},
		"RelayBudgetNear":          {5 * time.Minute, []series{of("relay_budget_used_ratio", `site="default"`, "0.8x20")}},
		"RelayPumpLags":            {half, slow("relay_pump_lag_seconds", "1", "2.5")},
		"RelayResets":              {time.Hour, []series{of("relay_resumes_total", `from="memory"`, "0+2x90"), of("relay_resumes_total", `from="reset"`, "0+2x90")}},
		"RelaySlowReaders":         {time.Hour, []series{of("relay_streams_ended_total", `reason="gone"`, "0+2x90"), of("relay_streams_ended_total", `reason="slow"`, "0+1x90")}},
		"RelayFilesNearLimit":      {10 * time.Minute, []series{of("process_open_fds", "", "900x20"), of("process_max_fds", "", "1000x20")}},
	}
	well := []series{
		of("up", "", "1x180"), of("process_start_time_seconds", "", "1x180"), of("process_open_fds", "", "100x180"), of("process_max_fds", "", "1000x180"),
		of("relay_upstream_key_refused", "", "0x180"), of("relay_upstream_breaker_open", "", "0x100 1 0x80"),
		of("relay_turns_total", `result="accepted"`, "0+10x180"), of("relay_turns_total", `result="upstream_failed"`, "0x100 1x80"), of("relay_turns_total", `result="session_booting"`, "0+3x180"),
		of("relay_erasures_pending", "", "3x60 0x120"), of("relay_panics_total", "", "0x180"), of("relay_refusals_total", `code="rate_limited"`, "0+5x180"), of("relay_capacity_refusals_total", `cause="awake"`, "0x180"),
		of("relay_session_wakes_total", `kind="new",result="ok"`, "0+1x180"), of("relay_session_wakes_total", `kind="new",result="upstream_failed"`, "0x50 1x130"),
		of("relay_sessions_awake", "", "100x180"), of("relay_sessions_awake_limit", "", "200x180"), of("relay_streams_open", "", "500x180"), of("relay_streams_limit", "", "1000x180"),
		of("relay_budget_used_ratio", `site="default"`, "0.79x180"), of("relay_paused", "", "0x60 1x50 0x70"), of("relay_stops_failed_total", "", "0x60 1x120"),
		of("relay_webhook_off", "", "0x180"), of("relay_webhook_waiting", "", "3x180"), of("relay_webhook_deliveries_total", `result="delivered"`, "0+1x180"),
		of("relay_resumes_total", `from="memory"`, "0+20x180"), of("relay_resumes_total", `from="reset"`, "0+1x180"),
		of("relay_streams_ended_total", `reason="gone"`, "0+20x180"), of("relay_streams_ended_total", `reason="slow"`, "0+1x180"),
		of("relay_store_seconds_bucket", `le="0.25"`, "0+100x180"), of("relay_store_seconds_bucket", `le="+Inf"`, "0+100x180"),
		of("relay_pump_lag_seconds_bucket", `le="0.01"`, "0+100x180"), of("relay_pump_lag_seconds_bucket", `le="+Inf"`, "0+100x180"),
		of("relay_session_wake_seconds_bucket", `le="10"`, "0+100x180"), of("relay_session_wake_seconds_bucket", `le="+Inf"`, "0+100x180"),
		of("relay_turn_first_event_seconds_bucket", `le="5"`, "0+100x180"), of("relay_turn_first_event_seconds_bucket", `le="+Inf"`, "0+100x180"),
	}
	type sample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
	type question struct {
		Expr    string   `yaml:"expr"`
		At      string   `yaml:"eval_time"`
		Samples []sample `yaml:"exp_samples"`
	}
	type scene struct {
		Name      string     `yaml:"name"`
		Interval  string     `yaml:"interval"`
		Series    []series   `yaml:"input_series"`
		Questions []question `yaml:"promql_expr_test"`
	}
	calm := scene{"all is well", "1m", well, nil}
	for at := time.Duration(0); at <= 3*time.Hour; at += 10 * time.Minute {
		calm.Questions = append(calm.Questions, question{`count(ALERTS{alertstate="firing"})`, at.String(), nil})
	}
	scenes := []scene{calm}
	for name := range alerts(t) {
		storm, ok := storms[name]
		if !ok {
			t.Errorf("%s: there is no case in which it fires", name)
			continue
		}
		ask := question{fmt.Sprintf(`count(ALERTS{alertname="%s",alertstate="firing"})`, name), storm.at.String(), []sample{{"{}", 1}}}
		scenes = append(scenes, scene{name, "1m", storm.series, []question{ask}})
	}
	file, err := filepath.Abs("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Marshal(map[string]any{"rule_files": []string{file}, "evaluation_interval": "1m", "tests": scenes})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "alerts_test.yaml")
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("got %v\n%s", err, out)
	}
}

// prometheus runs a real Prometheus with alerts.yaml that scrapes the relay.
func prometheus(t *testing.T, admin string) (url string) {
	t.Helper()
	dir := t.TempDir()
	file, err := filepath.Abs("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}\nrule_files: [%s]\n"+
		"scrape_configs: [{job_name: relay, static_configs: [{targets: [%q]}]}]\n", file, admin)
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "promtool", "check", "config", path).CombinedOutput(); err != nil {
		t.Fatalf("promtool check config: %v\n%s", err, out)
	}
	err = ports.Try(t.Context(), func(addr string) error {
		url = "http://" + addr
		var log bytes.Buffer
		cmd := exec.Command("prometheus", "--config.file="+path, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr) //nolint:noctx // ended by the test's end
		cmd.Stderr = &log
		if err := cmd.Start(); err != nil {
			return err
		}
		done := make(chan struct{})
		go func() { // ends with the process
			defer close(done)
			_ = cmd.Wait()
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-done
			if t.Failed() {
				t.Log(log.String())
			}
		})
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if res, err := testtools.Client.Get(url + "/-/ready"); err == nil { //nolint:noctx // a request to the test's own server
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					return nil
				}
			}
			select {
			case <-done:
				return fmt.Errorf("prometheus ended: %s", log.String())
			case <-time.After(20 * time.Millisecond):
			}
		}
		return errors.New("prometheus is not ready")
	})
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// query sends an expression to Prometheus and returns the number of series in the result.
func query(t *testing.T, base, expr string) (n int, err error) {
	t.Helper()
	var out struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := fetch(t, base+"/api/v1/query?query="+url.QueryEscape(expr), &out); err != nil {
		return 0, err
	}
	if out.Status != "success" {
		return 0, fmt.Errorf("%s", out.Error)
	}
	return len(out.Data.Result), nil
}

func fetch(t *testing.T, url string, into any) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := testtools.Client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(into)
}

// chat makes the relay produce most metrics: it runs a turn, causes a refusal and resumes a
// stream.
func chat(t *testing.T, base string) {
	t.Helper()
	do := func(method, path, token, body string) *http.Response {
		t.Helper()
		return testtools.Request(t, method, base+path, token, body)
	}
	var visitor struct{ Token string }
	if err := json.NewDecoder(do("POST", "/v1/visitor", "", `{"carrier":"bearer"}`).Body).Decode(&visitor); err != nil {
		t.Fatal(err)
	}
	if res := do("POST", "/v1/messages", visitor.Token, `{"text":"hello"}`); res.StatusCode != http.StatusAccepted {
		t.Fatalf("a turn: got %d, want 202", res.StatusCode)
	}
	if res := do("POST", "/v1/messages", visitor.Token, `{"text":""}`); res.StatusCode != http.StatusBadRequest {
		t.Fatalf("an empty message: got %d, want 400", res.StatusCode)
	}
	for _, path := range []string{"/v1/events", "/v1/events?last_event_id=1-1"} {
		lines := bufio.NewScanner(do("GET", path, visitor.Token, "").Body)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "event: turn_end") { //nolint:revive // reads up to it
		}
		if lines.Text() == "" {
			t.Fatalf("%s ended before the turn did: %v", path, lines.Err())
		}
	}
}

func TestMonitoring_Prometheus_AnswersEveryQuery(t *testing.T) {
	t.Parallel()
	testtools.Need(t, "prometheus")
	testtools.Need(t, "promtool")
	plane := anyframetest.Start(t, anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		c.Say("Hello.")
		c.Emit(map[string]any{"type": "result", "total_cost_usd": 0.25, "usage": map[string]any{"input_tokens": 10, "output_tokens": 5}})
	}))
	relay := launch(t, "RELAY_CHALLENGE=auto", "RELAY_STORE=sqlite:"+filepath.Join(t.TempDir(), "relay.db"), "ANYFRAME_API_KEY="+plane.Key(),
		fmt.Sprint("ANYFRAME_AGENT_ID=", plane.AgentID()), "ANYFRAME_BASE_URL="+plane.URL())
	res, err := testtools.Client.Get("http://" + relay.admin + "/metrics") //nolint:noctx // a request to the test's own relay
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || regexp.MustCompile(`(?m)^relay_`).Match(out) {
		t.Errorf("promtool check metrics: got %v\n%s", err, out)
	}

	base := prometheus(t, relay.admin)
	chat(t, "http://"+relay.addr)
	eventually := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !cond(); {
			if time.Now().After(deadline) {
				t.Errorf("%s: did not happen", what)
				return
			}
			<-time.After(100 * time.Millisecond)
		}
	}
	eventually("Prometheus has seen the turn twice", func() bool {
		n, _ := query(t, base, `sum(count_over_time(relay_refusals_total{code="empty_message"}[5m])) > 1 and sum(relay_turn_seconds_count) > 0`)
		return n > 0
	})
	fill := strings.NewReplacer("$job", "relay", "$instance", ".*", "$__rate_interval", "1m")
	d := readDashboard(t)
	asked := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			asked++
			expr := fill.Replace(target.Expr)
			eventually(fmt.Sprintf("%s: %s: an answer with a series", p.Title, expr), func() bool {
				n, err := query(t, base, expr)
				if err != nil {
					t.Fatalf("%s: %s: %v", p.Title, expr, err)
				}
				return n > 0
			})
		}
	}
	for _, a := range d.Annotations.List {
		if _, err := query(t, base, fill.Replace(a.Expr)); err != nil {
			t.Errorf("%s: %v", a.Expr, err)
		}
	}
	if asked < 50 {
		t.Errorf("got %d queries, want the dashboard's", asked)
	}
	var told struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, State, LastError string }
			}
		}
	}
	for name := range alerts(t) {
		eventually(name+" is evaluated", func() bool {
			if err := fetch(t, base+"/api/v1/rules", &told); err != nil {
				return false
			}
			for _, r := range told.Data.Groups[0].Rules {
				if r.Name == name && r.Health == "err" {
					t.Fatalf("%s: %s", name, r.LastError)
				}
				if r.Name == name && r.Health == "ok" {
					if r.State == "firing" {
						t.Errorf("%s fires, want none to", name)
					}
					return true
				}
			}
			return false
		})
	}
}
