package challenge

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strconv"
	"time"
)

// maxHeader bounds a solution as it comes in the header, in bytes.
const maxHeader = 1 << 10

// saltPattern is the form of our salts. It ends in a character that cannot be part of a
// number: else digits could be moved from the number to what is before it, which has the same
// hash.
var saltPattern = regexp.MustCompile(`^[0-9a-f]{24}\?expires=([1-9][0-9]{8,11})&$`)

// hashPattern is a SHA-256 in hex.
var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// numberPattern is a number in the one form that is taken.
var numberPattern = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)

// solution is a solution in canonical form. Other members, such as the time that it took, are
// nothing to us.
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

// parse reads a solution, whose number is most at the most, and until when it says to be
// good. It computes no hash.
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
