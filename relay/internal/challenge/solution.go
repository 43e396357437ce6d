package challenge

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"time"
)

// maxHeader is the maximum length of a solution in the header, in bytes.
const maxHeader = 1 << 10

// saltPattern matches our salts. A salt ends in a character that cannot be part of a
// number. Otherwise digits could be moved from the number to the salt without changing
// the hash.
var saltPattern = regexp.MustCompile(`^[0-9a-f]{24}\?expires=([1-9][0-9]{8,11})&$`)

// hashPattern matches a SHA-256 in hex.
var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// numberPattern matches a number in its only accepted form.
var numberPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)

// solution is a solution in canonical form. Other members, such as the elapsed time, are
// ignored.
type solution struct {
	Algorithm string          `json:"algorithm"`
	Challenge string          `json:"challenge"`
	Number    json.RawMessage `json:"number"`
	Salt      string          `json:"salt"`
	Signature string          `json:"signature"`

	number    string
	signature []byte
}

func saltOf(random []byte, expires time.Time) string {
	return hex.EncodeToString(random) + "?expires=" + strconv.FormatInt(expires.Unix(), 10) + "&"
}

// parse parses a solution whose number is at most most, and returns its claimed expiry.
// It computes no hash.
func parse(header string, most uint64) (s solution, expires time.Time, ok bool) {
	if len(header) > maxHeader {
		return s, expires, false
	}
	text, err := base64.StdEncoding.Strict().DecodeString(header)
	if err != nil || json.Unmarshal(text, &s) != nil || s.Algorithm != algorithm {
		return s, expires, false
	}
	s.number = string(s.Number)
	salt := saltPattern.FindStringSubmatch(s.Salt)
	if salt == nil || !numberPattern.MatchString(s.number) || !hashPattern.MatchString(s.Challenge) || !hashPattern.MatchString(s.Signature) {
		return s, expires, false
	}
	if n, err := strconv.ParseUint(s.number, 10, 64); err != nil || n > most {
		return s, expires, false
	}
	until, err := strconv.ParseInt(salt[1], 10, 64)
	if err != nil {
		return s, expires, false
	}
	expires = time.Unix(until, 0)
	s.signature, err = hex.DecodeString(s.Signature)
	return s, expires, err == nil
}
