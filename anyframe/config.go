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
	"strconv"
	"strings"
	"unicode"

	"github.com/joho/godotenv"
)

// The variables that are read from the environment and from the .env file.
const (
	envKey      = "ANYFRAME_API_KEY"
	envKeyOld   = "ANYFRAME_API_TOKEN" // the key's former name
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

// settings looks up every setting: option, environment, file, default. An empty
// value counts as absent.
func (o *options) settings() (settings, error) {
	file, err := readDotEnv(o.dotEnv)
	s := settings{key: first(o.apiKey, os.Getenv(envKey), os.Getenv(envKeyOld))}
	keyInFile := false
	if s.key == "" {
		s.key = first(file[envKey], file[envKeyOld])
		keyInFile = s.key != ""
	} else {
		err = nil // an invalid file does not matter if nothing was needed from it
	}
	s.baseURL = first(o.baseURL, os.Getenv(envBaseURL))
	if s.baseURL == "" && keyInFile {
		// Only with its own key. Otherwise a stray file could send a key from elsewhere
		// to a host of its choosing.
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

// levelLogger accepts the level names of the official clients. An unknown level,
// like none, disables logging.
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

// readDotEnv reads the file without touching the process environment. A missing
// file counts as empty.
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
		// The parser's error quotes the line, which may contain the key.
		return nil, fmt.Errorf("%s:%d: not a valid line", path, faultLine(text))
	}
	return vars, nil
}

// faultLine finds the first invalid line of a file: the first one after which every
// longer prefix of the file is invalid too.
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

// checkKey refuses a key that is not a valid header value, or that is too short to
// be masked in errors. It does not require a prefix, and never quotes the key.
func checkKey(key string) error {
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f {
			return errors.New("API key: has a space, a control character or one that is not ASCII")
		}
	}
	if len(key) < shortestSecret {
		return fmt.Errorf("API key: is shorter than %d characters", shortestSecret)
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

// checkBaseURL returns the base URL without trailing slashes. The key is sent
// there, so it must be https, except for loopback and where the caller allows plain
// HTTP. The URL itself is not quoted, because it may contain a password.
func checkBaseURL(s string, plainHTTP bool) (string, error) {
	if strings.ContainsFunc(s, unicode.IsSpace) {
		return "", errors.New("base URL: has a space")
	}
	u, err := url.Parse(s)
	if err != nil {
		return "", errors.New("base URL: cannot be parsed" + portFault(s))
	}
	s = strings.TrimRight(s, "/")
	switch ip := net.ParseIP(u.Hostname()); {
	case u.User != nil:
		err = errors.New("base URL: must not have a user")
	case strings.ContainsAny(s, "?#"):
		err = errors.New("base URL: must not have a query or fragment")
	case u.Scheme != "https" && u.Scheme != "http":
		err = errors.New("base URL: must begin with https://")
	case u.Hostname() == "":
		err = errors.New("base URL: has no host")
	case badPort(u):
		err = errors.New("base URL: the port must be a number from 1 to 65535")
	case strings.HasSuffix(strings.ToLower(s), "/api"):
		err = errors.New("base URL: must not end in /api, which the client adds")
	case u.Scheme == "https" || loopback(u.Hostname()):
	case !plainHTTP:
		err = errors.New("base URL: must be https, or http on a loopback host; WithPlainHTTP allows http in a private network")
	case ip != nil && !ip.IsPrivate() && !ip.IsLinkLocalUnicast():
		err = errors.New("base URL: http is not for a public address")
	}
	return s, err
}

func badPort(u *url.URL) bool {
	if u.Port() == "" {
		return strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err != nil || n == 0
}

// portFault reports that url.Parse refuses the port, if that is the reason.
func portFault(s string) string {
	_, rest, _ := strings.Cut(s, "://")
	host, _, _ := strings.Cut(rest, "/")
	if _, port, ok := strings.Cut(host[strings.LastIndex(host, "]")+1:], ":"); ok && strings.Trim(port, "0123456789") != "" && !strings.Contains(host, "@") {
		return ": the port must be a number"
	}
	return ""
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
