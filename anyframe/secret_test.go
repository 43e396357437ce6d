package anyframe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// shown returns everything that a careless program may print of a value.
func shown(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3v"} {
		fmt.Fprintf(&b, verb+"\n", v)
		fmt.Fprintf(&b, verb+"\n", []any{v})
		fmt.Fprintf(&b, verb+"\n", struct{ Field any }{v})
	}
	text, err := json.Marshal(map[string]any{"v": v})
	if err != nil {
		t.Error(err)
	}
	b.Write(text)
	for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
		slog.New(h).Info("x", "v", v, "nested", struct{ V any }{v}, "list", []any{v})
	}
	return b.String()
}

func TestModels_Secrets_NotPrinted(t *testing.T) {
	const token = "afm_0123456789abcdefwxyz"
	var created TokenCreated
	if err := json.Unmarshal([]byte(`{"id":3,"name":"ci-bot","token":"`+token+`"}`), &created); err != nil {
		t.Fatal(err)
	}
	if created.Secret.Reveal() != token {
		t.Fatalf("got %s, want the token itself", created.Secret.Reveal())
	}
	const other = "sntrys_0123456789wxyz"
	for name, test := range map[string]struct {
		v       any
		want    string // is shown
		secrets []string
	}{
		"token":           {created, "afm_…wxyz", []string{token}},
		"pointer":         {&created, "afm_…wxyz", []string{token}},
		"deep":            {struct{ c *TokenCreated }{&created}, "", []string{token}},
		"list":            {[]TokenCreated{created}, "afm_…wxyz", []string{token}},
		"secret":          {NewSecret(token), "afm_…wxyz", []string{token}},
		"other":           {NewSecret(other), "…wxyz", []string{other, "sntrys"}},
		"short":           {NewSecret("hunter2"), "…", []string{"hunter2", "ter2"}},
		"connector":       {CreateBearerConnectorParams{MCPURL: "u", Token: NewSecret(other)}, "…wxyz", []string{other}},
		"agent":           {CreateAgentParams{Name: "n", EnvVars: EnvVars{"KEY": other}}, "****", []string{other, "wxyz"}},
		"update":          {UpdateAgentParams{EnvVars: EnvVars{"KEY": other}}, "****", []string{other, "wxyz"}},
		"variables":       {EnvVars{"KEY": other}, "KEY", []string{other, "wxyz"}},
		"agent as it was": {Agent{EnvVars: EnvVars{"KEY": other}}, "KEY", []string{other, "wxyz"}},
	} {
		got := shown(t, test.v)
		if !strings.Contains(got, test.want) {
			t.Errorf("%s: got %s, want %q in it", name, got, test.want)
		}
		for _, secret := range test.secrets {
			hex := fmt.Sprintf("%x", secret)
			if strings.Contains(got, secret) || strings.Contains(strings.ToLower(got), hex) {
				t.Errorf("%s: got %s, want no %q in it", name, got, secret)
			}
		}
	}
	if (Secret{}).String() != "" || (Secret{}).Reveal() != "" || fmt.Sprint(EnvVars(nil)) != "map[]" {
		t.Error("got something for nothing")
	}
}

// An API that echoes requests, as validators do, must not bring a secret into an
// error that may be logged.
func TestError_RequestSecrets_NotEchoed(t *testing.T) {
	const secret, quoted = "sec<ret>\"quoted\" 123", `sec\u003cret\u003e\"quoted\" 123`
	echo := func(r *http.Request) (*http.Response, error) {
		plain, err := json.Marshal(map[string]any{"detail": []any{map[string]any{
			"loc": []any{"body", secret}, "msg": "bad: " + secret, "type": secret, "input": map[string]string{"token": secret},
		}}})
		if err != nil {
			return nil, err
		}
		return reply(422, string(plain), "X-Request-Id", "r-"+testKey)(r)
	}
	text := reply(400, strings.Repeat(" ", 490)+secret+" "+testKey) // across the end of the truncated message
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(echo)}))
	long := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(text)}))
	for _, c := range []*Client{c, long} {
		for i, err := range []error{
			c.Credentials.SetClaude(t.Context(), NewSecret(secret)),
			c.Credentials.SetCodex(t.Context(), NewSecret(secret)),
			c.Credentials.SetGitHub(t.Context(), NewSecret(secret)),
			value(c.Connectors.CreateBearer(t.Context(), CreateBearerConnectorParams{MCPURL: "u", DisplayName: "n", Token: NewSecret(secret)})),
			value(c.Connectors.InstallCatalogBearer(t.Context(), "linear", NewSecret(secret))),
			value(c.Agents.Create(t.Context(), CreateAgentParams{Name: "n", EnvVars: EnvVars{"A": secret}})),
			value(c.Agents.Update(t.Context(), 1, UpdateAgentParams{EnvVars: EnvVars{"A": secret}})),
		} {
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("call %d: got %v, want an *Error", i, err)
			}
			got := fmt.Sprintf("%v %+v %#v %s %s %s %v", err, err, e, e.Body, e.Detail, e.RequestID, e.Fields)
			for _, s := range []string{secret, quoted, "sec<", testKey, "Zq7"} {
				if strings.Contains(got, s) {
					t.Errorf("call %d: got %s, want no %q", i, got, s)
				}
			}
			if !strings.Contains(string(e.Body), redacted) {
				t.Errorf("call %d: got body %s, want it kept but for the secret", i, e.Body)
			}
		}
	}
}

func TestError_MalformedResponseWithToken_Masked(t *testing.T) {
	c := newClient(t, WithHTTPClient(&http.Client{Transport: newScript(reply(201, `{"id":"x","token":"afm_brandnew-1234_wxyz`))}))
	_, err := c.Tokens.Create(t.Context(), "ci")
	e, ok := errors.AsType[*Error](err)
	if !ok || !errors.Is(err, ErrInvalidResponse) || strings.Contains(string(e.Body), "brandnew") || !strings.Contains(string(e.Body), `{"id":"x"`) {
		t.Errorf("got %v, %s, want the body without the token", err, e.Body)
	}
}

func TestSecret_InMap_SentNotPrinted(t *testing.T) {
	var a asks
	c := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"detail":%q}`, "bad: "+a.note(r))
	})
	secret := NewSecret("sk-very-secret")
	config := map[string]any{"env": map[string]any{"TOKEN": secret}, "vars": EnvVars{"A": secret.Reveal()}}
	for name, err := range map[string]error{
		"mcp":        value(c.Agents.MCPs.Create(t.Context(), 1, CreateMCPParams{Name: "a", Transport: TransportStdio, Config: config})),
		"mcp update": value(c.Agents.MCPs.Update(t.Context(), 1, 2, UpdateMCPParams{Config: config})),
		"skill":      value(c.Agents.Skills.Create(t.Context(), 1, CreateSkillParams{Name: "a", Source: SkillInline, Content: config})),
		"agent":      value(c.Agents.Create(t.Context(), CreateAgentParams{Name: "a", Permissions: config})),
		"update":     value(c.Agents.Update(t.Context(), 1, UpdateAgentParams{Permissions: config})),
		"message":    value(c.Sessions.MessageRaw(t.Context(), sid, config)),
		"respond":    value(c.Sessions.Respond(t.Context(), sid, config)),
		"do":         c.Do(t.Context(), "PATCH", "/api/x", config, nil),
	} {
		if err == nil || strings.Contains(err.Error(), secret.Reveal()) {
			t.Errorf("%s: got %v, want a refusal without the secret", name, err)
		}
	}
	if len(a.body) != 8 {
		t.Errorf("got %d requests, want 8", len(a.body))
	}
	for _, body := range a.body {
		if strings.Count(body, secret.Reveal()) != 2 {
			t.Errorf("got %s, want both in the clear", body)
		}
	}
	if fmt.Sprint(config) == "" || strings.Contains(fmt.Sprint(config), secret.Reveal()) {
		t.Errorf("got %v, want the caller's map as it was", config)
	}
}

type (
	secretBase    struct{ Token Secret }
	ownEncoding   struct{ Token Secret }
	ownByPointer  struct{ Token Secret }
	secretBehind  struct{ Value any }
	secretInBase  struct{ secretBase }
	secretForm    struct{ Secret }
	secretChain   struct{ Next, Value any }
	secretOmitted struct {
		Token Secret `json:"-"`
		plain Secret
	}
)

func (ownEncoding) MarshalJSON() ([]byte, error)   { return []byte(`"own"`), nil }
func (*ownByPointer) MarshalJSON() ([]byte, error) { return []byte(`"own"`), nil }

func TestSecret_AnyContainer_SentOrRefused(t *testing.T) {
	var a asks
	c := newServer(t, func(_ http.ResponseWriter, r *http.Request) { a.note(r) })
	const text = "sk-very-secret"
	secret, vars := NewSecret(text), EnvVars{"A": text}
	chain := &secretChain{Value: "x"}
	chain.Next = chain // no Secret, and encoding/json refuses it
	loop := map[string]any{"token": secret}
	loop["self"] = []any{loop}
	list := []any{nil, secret}
	list[0] = list
	hidden := []any{secret}
	const refused = ""
	for name, test := range map[string]struct {
		body any
		want string
	}{
		"secret":                {secret, `"sk-very-secret"`},
		"pointer":               {new(&secret), `"sk-very-secret"`},
		"list of maps":          {[]map[string]any{{"v": secret}, nil}, `[{"v":"sk-very-secret"},null]`},
		"map of maps":           {map[string]map[string]any{"a": {"v": secret}}, `{"a":{"v":"sk-very-secret"}}`},
		"pointer to a map":      {&map[string]any{"a": secret, "b": nil}, `{"a":"sk-very-secret","b":null}`},
		"map of secrets":        {map[string]Secret{"a": secret}, `{"a":"sk-very-secret"}`},
		"map by number":         {map[int]any{7: &secret}, `{"7":"sk-very-secret"}`},
		"list of secrets":       {[]*Secret{&secret, nil}, `["sk-very-secret",null]`},
		"array":                 {[1]Secret{secret}, `["sk-very-secret"]`},
		"variables":             {[]*EnvVars{&vars}, `[{"A":"sk-very-secret"}]`},
		"other values":          {[]any{secret, []byte("ab"), json.RawMessage(`{"n": 1}`), &ownByPointer{secret}}, `["sk-very-secret","YWI=",{"n":1},"own"]`},
		"the same list twice":   {[]any{hidden, hidden}, `[["sk-very-secret"],["sk-very-secret"]]`},
		"own encoding":          {ownEncoding{secret}, `"own"`},
		"own encoding, pointer": {[]ownByPointer{{secret}}, `["own"]`},
		"not encoded":           {secretOmitted{secret, secret}, `{}`},
		"no secret":             {struct{ V *Secret }{}, `{"V":null}`},
		"struct":                {secretBase{secret}, refused},
		"pointer to a struct":   {[]any{&secretBase{secret}}, refused},
		"struct with an any":    {secretBehind{[]any{secret}}, refused},
		"embedded struct":       {secretInBase{secretBase{secret}}, refused},
		"embedded secret":       {secretForm{secret}, refused},
		"embedded deeper":       {struct{ secretForm }{secretForm{secret}}, refused},
		"not addressable":       {ownByPointer{secret}, refused},
		"key":                   {map[Secret]int{secret: 1}, refused},
		"part of a list":        {[]any{hidden[:0], secretBehind{hidden}}, refused},
		"map in itself":         {loop, refused},
		"list in itself":        {list, refused},
		"struct in itself":      {chain, refused},
	} {
		a.body = nil
		err := c.Do(t.Context(), http.MethodPost, "/api/x", test.body, nil)
		if got := strings.Join(a.body, ""); got != test.want || errors.Is(err, ErrInvalid) != (test.want == refused) {
			t.Errorf("%s: sent %s, error %v, want %s", name, got, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v, want no secret in it", name, err)
		}
	}
}
