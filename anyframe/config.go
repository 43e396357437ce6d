package anyframe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/joho/godotenv"
)

// The variables read, from the environment and from the .env file.
const (
	envKey      = "ANYFRAME_API_KEY"
	envKeyOld   = "ANYFRAME_API_TOKEN" // what the key was once called
	envBaseURL  = "ANYFRAME_BASE_URL"
	envLogLevel = "ANYFRAME_LOG_LEVEL"
)

// maxDotEnv bounds the .env file, in bytes.
const maxDotEnv = 64 << 10

type settings struct {
	key     string
	baseURL string
	log     *slog.Logger
}

// settings looks every setting up: option, environment, file, default. An empty
// value counts as absent everywhere.
func (o *options) settings() (settings, error) {
	file, err := readDotEnv(o.dotEnv)
	s := settings{key: first(o.apiKey, os.Getenv(envKey), os.Getenv(envKeyOld))}
	keyInFile := false
	if s.key == "" {
		s.key = first(file[envKey], file[envKeyOld])
		keyInFile = s.key != ""
	} else {
		err = nil // whatever is wrong with the file, nothing was needed from it
	}
	s.baseURL = first(o.baseURL, os.Getenv(envBaseURL))
	if s.baseURL == "" && keyInFile {
		// Only with its own key: else a stray file could have the key that
		// came from elsewhere sent to a host of its choosing.
		s.baseURL = file[envBaseURL]
	}
	s.baseURL = first(s.baseURL, DefaultBaseURL)

	s.log = o.logger
	if s.log == nil {
		s.log = levelLogger(first(os.Getenv(envLogLevel), file[envLogLevel]), os.Stderr)
	}
	return s, err
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// levelLogger understands the names of the official clients. One it does not
// know is silent, as is none.
func levelLogger(name string, w io.Writer) *slog.Logger {
	var level slog.Level
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "debug":
		level = slog.LevelDebug
	case "info":
		level = slog.LevelInfo
	case "warn", "warning":
		level = slog.LevelWarn
	case "error", "critical":
		level = slog.LevelError
	default:
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// readDotEnv reads the file without touching the process environment. A file
// that is not there is an empty one.
func readDotEnv(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read .env: %w", err)
	}
	defer f.Close()
	text, tooLarge, err := readBody(f, maxDotEnv)
	if err != nil {
		return nil, fmt.Errorf("read .env: %w", err)
	}
	if tooLarge {
		return nil, fmt.Errorf("read .env: %s: over %d bytes", path, maxDotEnv)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	vars, err := godotenv.UnmarshalBytes(text)
	if err != nil {
		// The parser's error quotes the line, and the line may hold the key.
		return nil, fmt.Errorf("%s:%d: not a valid line", path, faultLine(text))
	}
	return vars, nil
}

// faultLine finds the line at which a file that does not parse goes wrong: the
// first that leaves every longer beginning of the file wrong too.
func faultLine(text []byte) int {
	lines := bytes.SplitAfter(text, []byte("\n"))
	n := len(lines)
	for n > 1 {
		if _, err := godotenv.UnmarshalBytes(bytes.Join(lines[:n-1], nil)); err == nil {
			break
		}
		n--
	}
	return n
}

// checkKey refuses what could not be a header value. It does not insist on any
// prefix, and it never quotes the key.
func checkKey(key string) error {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f {
			return errors.New("API key: has a space, a control character or one that is not ASCII")
		}
	}
	return nil
}

func checkUserAgent(agent string) error {
	for i := range len(agent) {
		if agent[i] < ' ' || agent[i] >= 0x7f {
			return errors.New("user agent: has a control character or one that is not ASCII")
		}
	}
	return nil
}

// checkBaseURL returns the base URL without trailing slashes. The key goes
// wherever it points, so it must be https, but for this very machine. The URL
// itself is not quoted: with a user in it, it is a secret.
func checkBaseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("base URL: cannot be parsed")
	}
	switch {
	case u.User != nil:
		err = errors.New("base URL: must not have a user")
	case strings.ContainsAny(s, "?#"):
		err = errors.New("base URL: must not have a query or fragment")
	case u.Hostname() == "":
		err = errors.New("base URL: has no host")
	case u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()):
	default:
		err = errors.New("base URL: must be https, or http on a loopback host")
	}
	return strings.TrimRight(s, "/"), err
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
