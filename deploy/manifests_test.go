package deploy_test

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/tools/testtools"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// settings returns the names of all settings in .env.example, which a test of cmd/relay
// compares with the program.
func settings(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^(?:# )?([A-Z][A-Z_]+)=`).FindAllStringSubmatch(read(t, "../.env.example"), -1) {
		names = append(names, m[1])
	}
	if len(names) < 30 {
		t.Fatalf("got %d settings in .env.example, want all", len(names))
	}
	return names
}

// compose is the part of a Compose file that the tests check.
type compose struct {
	Services map[string]struct {
		Build       struct{ Context, Dockerfile string }
		Environment map[string]string
		Command     []string
		Volumes     []string
		Networks    []string
		Grace       time.Duration `yaml:"stop_grace_period"`
		ReadOnly    bool          `yaml:"read_only"`
		CapDrop     []string      `yaml:"cap_drop"`
		DependsOn   any           `yaml:"depends_on"`
		Ulimits     map[string]int
		Healthcheck struct{ Test []string }
	}
	Networks map[string]struct {
		IPAM struct {
			Config []struct{ Subnet netip.Prefix }
		}
	}
	Volumes map[string]any
}

func TestCompose_Names_Exist(t *testing.T) {
	t.Parallel()
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	known := settings(t)
	var upstreams []string
	for _, name := range []string{"relay1", "relay2"} {
		s, ok := c.Services[name]
		if !ok {
			t.Fatalf("got no service %s", name)
		}
		upstreams = append(upstreams, name+":8080")
		for v := range s.Environment {
			if !slices.Contains(known, v) {
				t.Errorf("%s: %s is no setting", name, v)
			}
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		if s.Grace < 15*time.Second || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.Ulimits["nofile"] < 50000 {
			t.Errorf("%s: got %+v, want time to drain, nothing to write or be allowed, and files for its streams", name, s)
		}
		if got, want := s.Environment["RELAY_TRUSTED_PROXIES"], c.Networks["inside"].IPAM.Config[0].Subnet.String(); got != want {
			t.Errorf("%s trusts %s, want the network's %s", name, got, want)
		}
		if store := s.Environment["RELAY_STORE"]; !strings.HasPrefix(store, "redis://redis:6379/") || c.Services["redis"].Healthcheck.Test == nil {
			t.Errorf("%s: got the store %s, want that of the service redis, which is waited for", name, store)
		}
	}
	if !strings.Contains(read(t, "Dockerfile"), "\nEXPOSE 8080\n") {
		t.Error("the image does not listen on 8080")
	}
	caddy := c.Services["caddy"]
	if got, want := caddy.Environment["RELAY_UPSTREAMS"], strings.Join(upstreams, " "); got != want {
		t.Errorf("Caddy passes to %q, want %q", got, want)
	}
	for v := range caddy.Environment {
		if !strings.Contains(read(t, "Caddyfile"), "{$"+v) {
			t.Errorf("the Caddyfile has no %s", v)
		}
	}
	for name, s := range c.Services {
		if !slices.Equal(s.Networks, []string{"inside"}) {
			t.Errorf("%s: got networks %q, want inside", name, s.Networks)
		}
		for _, volume := range s.Volumes {
			from, _, _ := strings.Cut(volume, ":")
			if _, ok := c.Volumes[from]; ok {
				continue
			}
			if _, err := os.Stat(from); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

type labels map[string]string

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas int
		Selector yaml.Node
		Ports    []struct {
			TargetPort string `yaml:"targetPort"`
		}
		Template struct {
			Metadata struct{ Labels, Annotations labels }
			Spec     struct {
				Grace           int   `yaml:"terminationGracePeriodSeconds"`
				ServiceLinks    *bool `yaml:"enableServiceLinks"`
				SecurityContext struct {
					RunAsNonRoot bool   `yaml:"runAsNonRoot"`
					RunAsUser    string `yaml:"runAsUser"`
				} `yaml:"securityContext"`
				Containers []struct {
					Ports []struct {
						Name          string
						ContainerPort string `yaml:"containerPort"`
					}
					EnvFrom []map[string]struct{ Name string } `yaml:"envFrom"`
					Startup probe                              `yaml:"startupProbe"`
					Live    probe                              `yaml:"livenessProbe"`
					Ready   probe                              `yaml:"readinessProbe"`
					Life    struct {
						PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
					} `yaml:"lifecycle"`
					SecurityContext struct {
						ReadOnly   bool  `yaml:"readOnlyRootFilesystem"`
						Escalation *bool `yaml:"allowPrivilegeEscalation"`
					} `yaml:"securityContext"`
				}
			}
		}
	}
}

func TestKubernetes_Names_Exist(t *testing.T) {
	t.Parallel()
	text := read(t, "kubernetes.yaml")
	all := map[string]manifest{}
	for decoder := yaml.NewDecoder(strings.NewReader(text)); ; {
		var m manifest
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all[m.Kind] = m
	}
	known := settings(t)
	for v := range all["ConfigMap"].Data {
		if !slices.Contains(known, v) {
			t.Errorf("%s is no setting", v)
		}
	}
	for _, m := range regexp.MustCompile(`--from-literal=([A-Z_]+)=`).FindAllStringSubmatch(text, -1) {
		if !slices.Contains(known, m[1]) {
			t.Errorf("%s is no setting", m[1])
		}
	}
	pods := all["Deployment"].Spec.Template
	c := pods.Spec.Containers[0]
	ports := labels{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if ports["http"] != "8080" || ":"+ports["admin"] != all["ConfigMap"].Data["RELAY_ADMIN_ADDR"] || ports["admin"] != pods.Metadata.Annotations["prometheus.io/port"] {
		t.Errorf("got ports %v, want those where the relay listens", ports)
	}
	for _, p := range all["Service"].Spec.Ports {
		if p.TargetPort != "http" {
			t.Errorf("the Service leads to %s, want only to http", p.TargetPort)
		}
	}
	var selector, budget struct {
		MatchLabels labels `yaml:"matchLabels"`
	}
	var service labels
	for kind, into := range map[string]any{"Deployment": &selector, "PodDisruptionBudget": &budget, "Service": &service} {
		m := all[kind]
		if err := m.Spec.Selector.Decode(into); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for i, got := range []labels{selector.MatchLabels, budget.MatchLabels, service} {
		if len(got) != 1 || got["app"] != pods.Metadata.Labels["app"] {
			t.Errorf("selector %d: got %v, want the pods' %v", i, got, pods.Metadata.Labels)
		}
	}
	for _, from := range c.EnvFrom {
		for kind, source := range from {
			if source.Name != "anyframe-relay" {
				t.Errorf("%s: got %s, which no manifest makes", kind, source.Name)
			}
		}
	}
	user := pods.Spec.SecurityContext
	if !user.RunAsNonRoot || !strings.Contains(read(t, "Dockerfile"), "\nUSER "+user.RunAsUser+":") || !c.SecurityContext.ReadOnly || c.SecurityContext.Escalation == nil || *c.SecurityContext.Escalation {
		t.Error("the pods may do more than the image's user")
	}
	if drain := 10 + c.Life.PreStop.Sleep.Seconds; c.Life.PreStop.Sleep.Seconds < 1 || pods.Spec.Grace <= drain {
		t.Errorf("got %d s to end, want more than the %d s that it takes", pods.Spec.Grace, drain)
	}
	if links := pods.Spec.ServiceLinks; links == nil || *links {
		t.Error("Kubernetes makes variables of the Service's name, which relay doctor tells of")
	}
	if all["Deployment"].Spec.Replicas < 2 {
		t.Error("got one replica, want more")
	}

	plane := anyframetest.Start(t)
	relay := launch(t, "ANYFRAME_API_KEY="+plane.Key(), "ANYFRAME_AGENT_ID=1", "ANYFRAME_BASE_URL="+plane.URL(), "RELAY_STORE=memory:")
	for _, p := range []probe{c.Startup, c.Live, c.Ready} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+relay.addr+p.HTTPGet.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := testtools.Client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK || p.HTTPGet.Port != "http" {
			t.Errorf("probe %s at %s: got %d, want 200", p.HTTPGet.Path, p.HTTPGet.Port, res.StatusCode)
		}
	}
	if c.Ready.HTTPGet.Path != "/readyz" || c.Live.HTTPGet.Path != "/healthz" {
		t.Errorf("got %s for ready and %s for alive, want /readyz and /healthz", c.Ready.HTTPGet.Path, c.Live.HTTPGet.Path)
	}
}
