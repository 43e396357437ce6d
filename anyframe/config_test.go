package anyframe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
)

func writeDotEnv(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(".env", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSettings_OptionEnvironmentFile_InThisOrder(t *testing.T) {
	const file = "ANYFRAME_API_KEY=file-key\nANYFRAME_BASE_URL=https://file.example\n"
	tests := map[string]struct {
		file      string
		env       map[string]string
		opts      []Option
		key, base string
	}{
		"option over all": {
			file,
			map[string]string{envKey: "env-key-1", envBaseURL: "https://env.example"},
			[]Option{WithAPIKey("arg-key-1"), WithBaseURL("https://arg.example")},
			"arg-key-1", "https://arg.example",
		},
		"a secret as an option": {
			file, nil, []Option{WithAPIKey(NewSecret("secret-key")), WithBaseURL("https://arg.example")}, "secret-key", "https://arg.example",
		},
		"an empty secret": {file, nil, []Option{WithAPIKey(Secret{})}, "file-key", "https://file.example"},
		"environment over file": {
			file,
			map[string]string{envKey: "env-key-1", envBaseURL: "https://env.example"},
			nil,
			"env-key-1", "https://env.example",
		},
		"file":                      {file, nil, nil, "file-key", "https://file.example"},
		"default base URL":          {"ANYFRAME_API_KEY=file-key\n", nil, nil, "file-key", DefaultBaseURL},
		"empty option is absent":    {file, nil, []Option{WithAPIKey(""), WithBaseURL("")}, "file-key", "https://file.example"},
		"old name of the key":       {"", map[string]string{envKeyOld: "old-key-1"}, nil, "old-key-1", DefaultBaseURL},
		"new name over old":         {"", map[string]string{envKey: "new-key-1", envKeyOld: "old-key-1"}, nil, "new-key-1", DefaultBaseURL},
		"old name in the file":      {"ANYFRAME_API_TOKEN=old-key-1\n", nil, nil, "old-key-1", DefaultBaseURL},
		"old name over the file":    {file, map[string]string{envKeyOld: "old-key-1"}, nil, "old-key-1", DefaultBaseURL},
		"file URL, key elsewhere":   {file, map[string]string{envKey: "env-key-1"}, nil, "env-key-1", DefaultBaseURL},
		"file URL, key as option":   {file, nil, []Option{WithAPIKey("arg-key-1")}, "arg-key-1", DefaultBaseURL},
		"file key, URL elsewhere":   {file, map[string]string{envBaseURL: "https://env.example"}, nil, "file-key", "https://env.example"},
		"byte order mark":           {"\ufeff" + file, nil, nil, "file-key", "https://file.example"},
		"trailing slashes":          {"", map[string]string{envKey: "trailing", envBaseURL: "https://env.example/x//"}, nil, "trailing", "https://env.example/x"},
		"broken file, key not here": {"ANYFRAME API KEY\n", map[string]string{envKey: "env-key-1"}, nil, "env-key-1", DefaultBaseURL},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			if test.file != "" {
				writeDotEnv(t, test.file)
			}
			for k, v := range test.env {
				t.Setenv(k, v)
			}
			c, err := New(test.opts...)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.key.reveal(); got != test.key {
				t.Errorf("key: got %q, want %q", got, test.key)
			}
			if c.baseURL != test.base {
				t.Errorf("base URL: got %q, want %q", c.baseURL, test.base)
			}
		})
	}
}

func TestDotEnv_Variables_NotInProcessEnvironment(t *testing.T) {
	isolate(t)
	if err := os.Unsetenv(envKey); err != nil { // isolate restores it
		t.Fatal(err)
	}
	writeDotEnv(t, "ANYFRAME_API_KEY=file-key\nOTHER_SECRET=x\n")
	if _, err := New(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{envKey, "OTHER_SECRET"} {
		if v, ok := os.LookupEnv(name); ok {
			t.Errorf("%s: got %q, want unset", name, v)
		}
	}
}

func TestDotEnv_Option_SetsPath(t *testing.T) {
	isolate(t)
	writeDotEnv(t, "ANYFRAME_API_KEY=file-key\n")
	if _, err := New(WithDotEnv("")); !errors.Is(err, ErrNoAPIKey) {
		t.Errorf("no file: got %v, want ErrNoAPIKey", err)
	}
	if _, err := New(WithDotEnv("not-there.env")); !errors.Is(err, ErrNoAPIKey) {
		t.Errorf("file not there: got %v, want ErrNoAPIKey", err)
	}
	if err := os.Rename(".env", "other.env"); err != nil {
		t.Fatal(err)
	}
	if c, err := New(WithDotEnv("other.env")); err != nil || c.key.reveal() != "file-key" {
		t.Errorf("other file: got %v, want its key", err)
	}
	if _, err := New(WithDotEnv(".")); err == nil || errors.Is(err, ErrNoAPIKey) {
		t.Errorf("a folder: got %v, want that it cannot be read", err)
	}
}

func TestDotEnv_InvalidLine_ErrorHidesItsText(t *testing.T) {
	tests := map[string]struct {
		file string
		line string
	}{
		"unterminated quote": {"A=1\nANYFRAME_API_KEY=\"" + testKey + "\nB=2\n", ".env:2:"},
		"no equals sign":     {"A=1\n# note\n\nANYFRAME_API_KEY " + testKey + "\nB=2\n", ".env:4:"},
		"after a long value": {"A=\"1\n2\n3\"\nB C " + testKey + "\n", ".env:4:"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			writeDotEnv(t, test.file)
			_, err := New()
			if err == nil || !strings.Contains(err.Error(), test.line) {
				t.Fatalf("got %v, want %s", err, test.line)
			}
			if all := fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)); strings.Contains(all, "secret") {
				t.Fatalf("got %s, want no part of the key", all)
			}
		})
	}
}

func TestNew_SeveralErrors_AllListed(t *testing.T) {
	isolate(t)
	_, err := New(WithAPIKey("a key"), WithBaseURL("ftp://example"), WithUserAgent("a\nb"))
	for _, want := range []string{"API key", "base URL", "user agent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	if _, err := New(); !errors.Is(err, ErrNoAPIKey) {
		t.Errorf("got %v, want ErrNoAPIKey", err)
	}
}

func TestKey_NotAHeaderValue_Refused(t *testing.T) {
	isolate(t)
	for _, key := range []string{"afm_x\n", " afm_x", "a b", "a\tb", "a\x00b", "a\x7f", "ключ", "\r\nX: y", "short-1", "!~"} {
		_, err := New(WithAPIKey(key))
		if err == nil || strings.Contains(err.Error(), strings.TrimSpace(key)) {
			t.Errorf("%q: got %v, want an error that does not quote it", key, err)
		}
	}
	for _, key := range []string{"afm_1234", "no-prefix", "!~!~!~!~"} {
		if _, err := New(WithAPIKey(key)); err != nil {
			t.Errorf("%q: got %v, want no error", key, err)
		}
	}
}

func TestBaseURL_HTTP_LoopbackOnly(t *testing.T) {
	isolate(t)
	good := []string{
		"https://api.example", "https://api.example:8443/prefix/", "HTTPS://api.example", "http://localhost:1",
		"http://127.0.0.1:1", "http://127.8.8.8", "http://[::1]:1", "http://LOCALHOST",
	}
	for _, u := range good {
		if _, err := New(WithAPIKey(testKey), WithBaseURL(u)); err != nil {
			t.Errorf("%q: got %v, want no error", u, err)
		}
	}
	bad := []string{
		"http://api.example", "http://localhost.example", "http://10.0.0.1", "http://0.0.0.0", "https://u:secret@api.example",
		"https://u@api.example", "https://api.example?secret=1", "https://api.example?", "https://api.example#secret",
		"https://api.example/#", "api.example", "//api.example", "https://", "https:opaque", "https:///path", "ftp://localhost",
		"file:///etc/passwd", "gopher://localhost:70/", "http://169.254.169.254/latest", "unix:///run/x.sock",
		"://", "https://exa mple", "https://api.example/\x00",
	}
	for _, u := range bad {
		if _, err := New(WithAPIKey(testKey), WithBaseURL(u)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want an error that does not quote it", u, err)
		}
	}
}

func TestKey_Printed_Masked(t *testing.T) {
	echo := `{"detail": [{"loc": ["` + testKey + `"], "msg": "bad ` + testKey + `", "type": "` + testKey + `"}]}`
	transport := newScript(
		reply(422, echo, "X-Request-Id", testKey, "X-Echo", "Bearer "+testKey),
		reply(400, `{"detail": "bad `+testKey+`"}`),
		reply(500, "oops "+testKey),
		fail(errors.New("header was "+testKey)),
	)
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := newClient(t, WithHTTPClient(&http.Client{Transport: transport}), WithLogger(logger), WithRetry(RetryPolicy{MaxRetries: -1}))
	show := func(v any) string {
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		logger.Info("shown", "value", v)
		return fmt.Sprintf("%v %+v %#v %s", v, v, v, encoded)
	}
	all := show(c) + show(c.Sessions) + fmt.Sprintf("%#v %+v %#v %+v", c.key, c.key, *c, *c)
	for range 4 {
		_, err := c.Me(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("got %v, want an *Error", err)
		}
		e.cause = nil                                                           // a transport's own text; Message has the cleaned version
		all += show(e) + fmt.Sprintf("%+v %#v %s %s", *e, *e, e.Body, e.Detail) // bytes, which %v shows as numbers
		for _, values := range e.Header {
			all += strings.Join(values, " ")
		}
	}
	all += log.String()
	if i := strings.Index(all, "Zq7secret"); i >= 0 {
		t.Fatalf("got …%s…, want no part of the key", all[max(0, i-200):i+20])
	}
	if !strings.Contains(all, "[redacted]") {
		t.Fatalf("got %s, want the echo redacted", all)
	}
}

func TestLogLevel_Environment_Used(t *testing.T) {
	tests := map[string][2]bool{ // whether debug and error records are written
		"": {false, false}, "silent": {false, false}, "nonsense": {false, false},
		"debug": {true, true}, "INFO": {false, true}, "warn": {false, true}, "WARNING": {false, true},
		"error": {false, true}, "critical": {false, true},
	}
	for name, want := range tests {
		var log bytes.Buffer
		l := levelLogger(name, &log)
		l.Debug("debugging")
		l.Error("failing")
		got := [2]bool{strings.Contains(log.String(), "debugging"), strings.Contains(log.String(), "failing")}
		if got != want {
			t.Errorf("%q: got %v, want %v", name, got, want)
		}
	}
	isolate(t)
	t.Setenv(envLogLevel, "debug")
	if c := newClient(t); !c.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("got a silent logger, want the environment's level")
	}
	own := slog.New(slog.DiscardHandler)
	if c := newClient(t, WithLogger(own)); c.log != own {
		t.Error("got another logger, want the one given")
	}
}
