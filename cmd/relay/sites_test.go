package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/cmd/relay/internal/sitefile"
)

// agentVars is an environment in which the default site is complete.
var agentVars = map[string]string{"ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1", "SUPPORT_KEY": "afm_support", "RELAY_STORE": "memory:"}

// siteFile writes a sites file and returns its path.
func siteFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readFile parses a sites file in the environment vars.
func readFile(t *testing.T, vars map[string]string, content string) (*settings, []string) {
	t.Helper()
	s := defaults()
	env := from(t, vars, "")
	if err := env.read(s); err != nil {
		t.Fatal(err)
	}
	s.config = siteFile(t, content)
	err := env.readSites(s)
	if err == nil {
		return s, nil
	}
	return s, strings.Split(strings.ReplaceAll(err.Error(), s.config, "relay.yaml"), "\n")
}

func TestSites_File_OverridesTheDefault(t *testing.T) {
	s, wrong := readFile(t, map[string]string{
		"ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1", "SUPPORT_KEY": "afm_support",
		"RELAY_TITLE": "Everybody", "RELAY_GREETING": "Hello", "RELAY_ALLOWED_ORIGINS": "https://a.example", "RELAY_MAX_MESSAGE": "1KiB",
	}, `
sites:
  support:                    # a comment
    agent_id: 7
    api_key_env: SUPPORT_KEY
    allowed_origins: [https://www.example.com, "https://*.example.org"]
    title: Ask us
    greeting: ""
    starters: ["One, two?", Three]
    rate_messages: 5/m,50/d
    rate_sessions: [2/m, 7/h]
    max_sessions: 3
    approvals: visitor
  docs:
`)
	if wrong != nil {
		t.Fatal(strings.Join(wrong, "\n"))
	}
	if len(s.relay.Sites) != 2 {
		t.Fatalf("got %d sites, want 2", len(s.relay.Sites))
	}
	support, docs := s.relay.Sites[0].Config, s.relay.Sites[1].Config
	got := fmt.Sprint(support.AgentID, support.APIKey == "afm_support", support.AllowedOrigins, support.Look.Title, support.Look.Greeting == "",
		len(support.Look.Starters), support.RateMessages[0].Limit, support.RateSessions[1].Limit, support.MaxSessions, support.VisitorApprovals, support.MaxMessage)
	if want := fmt.Sprint(7, true, []string{"https://www.example.com", "https://*.example.org"}, "Ask us", true, 2, 5, 7, 3, true, 1024); got != want {
		t.Errorf("support: got %s, want %s", got, want)
	}
	got = fmt.Sprint(docs.AgentID, docs.APIKey == "afm_x1234", docs.AllowedOrigins, docs.Look.Title, docs.RateMessages, docs.VisitorApprovals)
	if want := fmt.Sprint(1, true, []string{"https://a.example"}, "Everybody", s.relay.RateMessages, false); got != want {
		t.Errorf("docs, of which nothing is said: got %s, want %s", got, want)
	}
}

func TestSites_WrongFile_AllAtOnceWithPlaces(t *testing.T) {
	_, wrong := readFile(t, agentVars, `sites:
  support:
    agent_id: seven
    colour: red
    titel: Ask us
    title: Ask us
    title: Ask us again
    allowed_origins:
      - https://www.example.com
      - https://www.example.com/path
    api_key: afm_verysecret
    store: memory
    identity_key_env: NOT_THERE
    max_sessions: 100000
    greeting:
    accent: true
  Sales: {}
  default: {}
  support:
    agent_id: 8
  docs: {visibility: some}
other: 1
`)
	var lines []string
	for _, line := range wrong {
		if strings.HasPrefix(line, "relay.yaml:") {
			lines = append(lines, line)
		}
	}
	for i, want := range []string{
		"relay.yaml:3:15: agent_id must be a number",
		`relay.yaml:4:5: unknown key "colour"`,
		`relay.yaml:5:5: unknown key "titel"; did you mean "title"?`,
		`relay.yaml:7:5: duplicate key "title", first used in line 6`,
		`relay.yaml:10:9: allowed_origins: "https://www.example.com/path" is not an origin`,
		"relay.yaml:11:5: api_key is secret and must not be in this file",
		"relay.yaml:12:5: store applies to all sites: set RELAY_STORE",
		"relay.yaml:13:23: identity_key_env names NOT_THERE, which is not set",
		"relay.yaml:14:19: max_sessions must not exceed 200",
		"relay.yaml:15:5: greeting has no value",
		"relay.yaml:16:13: accent must be text",
		"relay.yaml:17:3: a site name must be 1 to 32 of",
		`relay.yaml:18:3: "default" is reserved for`,
		`relay.yaml:19:3: duplicate key "support", first used in line 2`,
		"relay.yaml:21:22: visibility must be chat, tools or full",
		`relay.yaml:22:1: unknown key "other"`,
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d: want %q, in\n%s", i+1, want, strings.Join(wrong, "\n"))
		}
	}
	all := strings.Join(wrong, "\n")
	if strings.Contains(all, "verysecret") {
		t.Errorf("a key is shown:\n%s", all)
	}
	for _, want := range []string{
		"   3 |     agent_id: seven\n     |               ^",
		"  11 |     api_key: …\n     |     ^",
		"   5 |     titel: Ask us\n     |     ^",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("want the excerpt\n%s\nin\n%s", want, all)
		}
	}
}

func TestSites_NotYAML_NamesTheLineAndNoSecret(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"a tab":             {"sites:\n\tsupport: {}\n", "relay.yaml:2:"},
		"an open bracket":   {"sites:\n  support:\n    allowed_origins: [https://a.example\n    title: x\n", "relay.yaml:4:5: is not YAML"},
		"a list":            {"- sites\n", "relay.yaml:1:1: the file must be a mapping"},
		"no mapping":        {"sites: [support]\n", "relay.yaml:1:8: sites must be a mapping"},
		"an anchor":         {"sites:\n  a: &x\n    agent_id: 7\n  b: *x\n", "relay.yaml:2:6: anchors"},
		"a merge":           {"sites:\n  a:\n    <<: {agent_id: 7}\n", "relay.yaml:3:5: merge keys"},
		"a tag":             {"sites:\n  a:\n    title: !!str x\n", "relay.yaml:3:12: tags"},
		"a second document": {"sites: {}\n---\nsites: {}\n", "relay.yaml:3:1: a second YAML document"},
		"a list for one":    {"sites:\n  a:\n    title: [x]\n", "relay.yaml:3:12: title must be a single value"},
		"a mapping":         {"sites:\n  a:\n    title: {x: y}\n", "relay.yaml:3:12: title must be a single value"},
		"separator":         {"sites:\n  a:\n    starters: [\"a|b\"]\n", "relay.yaml:3:15: starters cannot have a value that contains"},
		"a secret's name":   {"sites:\n  a:\n    api_key_env: afm_verysecret-x\n", "relay.yaml:3:18: api_key_env must be the name"},
		"an AnyFrame key":   {"sites:\n  a:\n    api_key_env: afm_verysecret\n", "relay.yaml:3:18: api_key_env must be the name"},
		"a webhook secret":  {"sites:\n  a:\n    webhook_secret_env: whsec_verysecret\n", "relay.yaml:3:25: webhook_secret_env must be the name"},
		"another secret":    {"sites:\n  a:\n    identity_key_env: verysecret0123456789verysecret012345\n", "relay.yaml:3:23: identity_key_env names a variable, which is not set"},
		"secret in flow":    {"sites:\n  a: {identity_key_env: verysecret}\n", "relay.yaml:2:25: identity_key_env names a variable, which is not set"},
		"secret by itself":  {"sites:\n  a:\n    identity_key_env:\n      verysecret\n", "relay.yaml:4:7: identity_key_env names a variable, which is not set"},
		"secret, key wrong": {"sites:\n  a:\n    identiy_key_env: verysecret\n", "relay.yaml:3:5: unknown key"},
		"secret URL":        {"sites:\n  a:\n    webhook_url: http://hooks.example.com/verysecret\n    webhook_secret_env: SUPPORT_KEY\n", "relay.yaml:3:18: webhook_url must be an https URL"},
		"quotes kept":       {"sites:\n  a:\n    accent: \"'#123'\"\n", "relay.yaml:3:13: accent is enclosed in quotation marks"},
	} {
		t.Run(name, func(t *testing.T) {
			_, wrong := readFile(t, agentVars, tc.content)
			if len(wrong) == 0 || !strings.HasPrefix(wrong[0], tc.want) {
				t.Fatalf("got\n%s\nwant %s…", strings.Join(wrong, "\n"), tc.want)
			}
			if strings.Contains(strings.Join(wrong, "\n"), "verysecret") {
				t.Errorf("a secret is shown:\n%s", strings.Join(wrong, "\n"))
			}
		})
	}
}

func TestSites_NoDefaultSite_EverySiteMustBeComplete(t *testing.T) {
	_, wrong := readFile(t, map[string]string{"SUPPORT_KEY": "afm_support"}, "sites:\n  a:\n    agent_id: 7\n    api_key_env: SUPPORT_KEY\n  b: {agent_id: 8}\n  c: {api_key_env: SUPPORT_KEY}\n")
	got := strings.Join(wrong, "\n")
	for _, want := range []string{"relay.yaml:5:3: api_key_env is not set, nor is ANYFRAME_API_KEY", "relay.yaml:6:3: agent_id is not set, nor is ANYFRAME_AGENT_ID: set it"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, ":2:") {
		t.Errorf("the complete site is named:\n%s", got)
	}
}

func TestConfigCheck_Files_SameListAsServe(t *testing.T) {
	vars := map[string]string{"ANYFRAME_API_KEY": "afm_x1234", "ANYFRAME_AGENT_ID": "1", "RELAY_STORE": "memory:"}
	good, bad := siteFile(t, "sites:\n  support: {agent_id: 7}\n"), siteFile(t, "sites:\n  support: {agent: 7, title: [x]}\n")
	if code, out, errs := runHere(t, vars, "config", "check", good); code != exitOK || !strings.Contains(out, "1 sites, no problems") || errs != "" {
		t.Errorf("a good file: got %d %q %q, want 0", code, out, errs)
	}
	vars["RELAY_CONFIG"] = bad
	checked, _, list := runHere(t, vars, "config", "check")
	served, _, said := runHere(t, vars, "serve")
	if checked != exitUsage || served != exitUsage || list != said || strings.Count(list, bad+":2:") != 2 {
		t.Errorf("check: got %d\n%s\nserve: got %d\n%s\nwant both 2 with the same two problems", checked, list, served, said)
	}
	vars["RELAY_CONFIG"] = "missing.yaml"
	if code, _, errs := runHere(t, vars, "serve"); code != exitUsage || !strings.HasPrefix(errs, "missing.yaml: cannot read the file") {
		t.Errorf("a missing file: got %d %q, want 2", code, errs)
	}
	delete(vars, "RELAY_CONFIG")
	for _, args := range [][]string{{"config"}, {"config", "check"}, {"config", "chek", good}, {"config", "check", good, good}} {
		if code, _, errs := runHere(t, vars, args...); code != exitUsage || errs == "" {
			t.Errorf("%v: got %d %q, want 2 and a word", args, code, errs)
		}
	}
}

// The file has only the name of the variable that holds a secret.
func TestSites_SecretThatIsNotValid_NamesItsVariable(t *testing.T) {
	vars := maps.Clone(agentVars)
	vars["K2"], vars["S2"] = "qqqq", "zzzz"
	_, wrong := readFile(t, vars, "sites:\n  a:\n    api_key_env: K2\n    identity_key_env: S2\n    title: x\n")
	got := strings.Join(wrong, "\n")
	for _, want := range []string{"relay.yaml:3:18: api_key_env (the value of K2) must have at least 8 characters", "relay.yaml:4:23: identity_key_env (the value of S2) is a secret shorter than 32 bytes"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "qqqq") || strings.Contains(got, "zzzz") {
		t.Errorf("a secret is shown:\n%s", got)
	}
}

const schemaFile = "../../docs/relay.schema.json"

func TestSites_Schema_MatchesTableAndFile(t *testing.T) {
	var out bytes.Buffer
	if code := config([]string{"schema"}, lookup(nil), &out, &out); code != exitOK {
		t.Fatalf("relay config schema: got %d", code)
	}
	if *update {
		if err := os.WriteFile(schemaFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, out.Bytes()) {
		t.Fatal("docs/relay.schema.json differs from the table of settings; run go test ./cmd/relay -update")
	}
	doc, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("relay.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("relay.json")
	if err != nil {
		t.Fatal(err)
	}
	// The editor's schema and the relay agree on which files are valid.
	for content, good := range map[string]bool{
		"":                                      true,
		"sites:\n":                              true,
		"sites: {}\n":                           true,
		"sites: {a: }\n":                        true,
		"sites: {a: {agent_id: 7}}\n":           true,
		"sites: {a: {agent_id: \"7\"}}\n":       true,
		"sites: {a: {agent_id: 7.5}}\n":         false,
		"sites: {a: {title: x}}\n":              true,
		"sites: {a: {title: 7}}\n":              false,
		"sites: {a: {title: true}}\n":           false,
		"sites: {a: {title: [x]}}\n":            false,
		"sites: {a: {approvals: off}}\n":        true,
		"sites: {a: {approvals: maybe}}\n":      false,
		"sites: {a: {starters: [x, y]}}\n":      true,
		"sites: {a: {starters: x}}\n":           true,
		"sites: {a: {rate_messages: [20/m]}}\n": true,
		"sites: {a: {rate_messages: 20/m}}\n":   true,
		"sites: {a: {starters: [1]}}\n":         false,
		"sites: {a: {api_key: x}}\n":            false,
		"sites: {a: {api_key_env: \"-\"}}\n":    false,
		"sites: {a: {api_key_env: afm_ab}}\n":   false,
		"sites: {a: {store: x}}\n":              false,
		"sites: {A: {}}\n":                      false,
		"sites: {default: {}}\n":                false,
		"sites: [a]\n":                          false,
		"site: {}\n":                            false,
	} {
		var parsed any
		if err := yaml.Unmarshal([]byte(content), &parsed); err != nil {
			t.Fatal(err)
		}
		asJSON, err := json.Marshal(parsed)
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); (err == nil) != good {
			t.Errorf("schema of %q: got %v, want good %v", content, err, good)
		}
		if _, wrong := readFile(t, agentVars, content); (wrong == nil) != good {
			t.Errorf("relay of %q: got %q, want good %v", content, wrong, good)
		}
	}
}

func TestSites_Keys_EachSettingHasOne(t *testing.T) {
	seen := map[string]string{}
	for _, set := range table() {
		key := set.key()
		if other, twice := seen[key]; twice && set.scope.site {
			t.Errorf("%s and %s are both %s in the file", other, set.name, key)
		}
		seen[key] = set.name
		if set.scope.site && set.scope.kind == sitefile.List && set.scope.parts == "" {
			t.Errorf("%s is a list and has no separator", set.name)
		}
		if strings.Contains(set.meaning, "a list of") || strings.Contains(set.meaning, "separated") {
			if set.scope.site && set.scope.kind != sitefile.List {
				t.Errorf("%s is described as a list, and the file refuses a list", set.name)
			}
		}
	}
}

func TestDoctor_Sites_EachIsChecked(t *testing.T) {
	t.Parallel()
	plane := anyframetest.Start(t)
	file := siteFile(t, "sites:\n  good:\n  wrong: {agent_id: 4711}\n  refused: {api_key_env: OTHER_KEY}\n")
	env := append(upstream(plane), "RELAY_STORE=memory:", "RELAY_CONFIG="+file, "OTHER_KEY=afm_nobody_knows_this_one")
	code, stdout, _ := execute(t, env, "doctor", "--json")
	got := map[string]string{}
	for _, f := range readReport(t, stdout).Checks {
		got[f.Site+" "+f.Check] = f.Result
	}
	for check, want := range map[string]string{
		" key": "ok", " agent": "ok", "good key": "ok", "good agent": "ok", "wrong key": "ok", "wrong agent": "finding", "refused key": "finding", "refused agent": "unchecked",
	} {
		if got[check] != want {
			t.Errorf("%s: got %q, want %q", check, got[check], want)
		}
	}
	if code != exitError {
		t.Errorf("got exit %d, want 1", code)
	}
	if _, stdout, _ = execute(t, env, "doctor"); !strings.Contains(stdout, "site wrong: ") {
		t.Errorf("the site is not named in\n%s", stdout)
	}
}
