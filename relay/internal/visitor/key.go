package visitor

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// parseIdentityKey parses a PEM public key, whose line ends may be written as \n, or
// otherwise a secret. The kind of key determines the only accepted signing method, so
// that an attacker cannot use a public key as an HMAC secret.
func parseIdentityKey(s string) (key any, method string, err error) {
	if !strings.Contains(s, "-----BEGIN ") {
		switch {
		case looksLikeKey(s):
			return nil, "", errors.New("looks like a key or certificate that is not in PEM format; use the PEM public key with its BEGIN and END lines, or another secret")
		case strings.ContainsAny(strings.TrimSpace(s), "\r\n"):
			return nil, "", errors.New("has several lines but no BEGIN line; a secret must be one line, a public key needs all its PEM lines")
		case len(s) < minIdentitySecret:
			return nil, "", errors.New("is a secret shorter than 32 bytes, which is too easy to guess")
		}
		return []byte(s), jwt.SigningMethodHS256.Alg(), nil
	}
	block, rest := pem.Decode([]byte(strings.ReplaceAll(s, `\n`, "\n")))
	switch {
	case block == nil || strings.TrimSpace(string(rest)) != "":
		return nil, "", errors.New("must be exactly one PEM public key")
	case block.Type == "CERTIFICATE":
		return nil, "", errors.New("is a certificate; use its public key instead (openssl x509 -pubkey -noout)")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, "", errors.New("is a private key, which must stay on the website's server; use its public key instead")
	}
	if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		if key, err = x509.ParsePKCS1PublicKey(block.Bytes); err != nil {
			return nil, "", errors.New("is not a PEM public key")
		}
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return nil, "", errors.New("is an RSA key of fewer than 2048 bits")
		}
		return k, jwt.SigningMethodRS256.Alg(), nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, jwt.SigningMethodES256.Alg(), nil
		}
	case ed25519.PublicKey:
		return k, jwt.SigningMethodEdDSA.Alg(), nil
	}
	return nil, "", errors.New("must be an RSA, P-256 or Ed25519 public key (for RS256, ES256 or EdDSA)")
}

// looksLikeKey reports whether s is a key or a certificate that is not in PEM form. If a
// public key were taken for a secret, anyone could sign, and a private key must not be
// used here.
func looksLikeKey(s string) bool {
	text := strings.TrimSpace(strings.NewReplacer(`\r`, "\n", `\n`, "\n").Replace(s))
	if keyForm([]byte(text)) || strings.Contains(text, "-----") {
		return true
	}
	body := strings.Join(strings.Fields(text), "")
	if _, data, ok := strings.Cut(body, ";base64,"); ok {
		body = data
	}
	plain := strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(body), "=") // either alphabet, padded or not
	if decoded, err := base64.RawURLEncoding.DecodeString(plain); err == nil && keyForm(decoded) {
		return true
	}
	digits := strings.NewReplacer(":", "", "0x", "").Replace(body)
	decoded, err := hex.DecodeString(digits)
	return err == nil && keyForm(decoded)
}

// minDER is the length in bytes of the shortest public key, that of Ed25519. Anything
// shorter may be a secret that happens to look like DER.
const minDER = 44

// sshKey matches the beginning of an OpenSSH public key: as in a file, or with the length
// of its type, as in the decoded base64 of a file.
var sshKey = regexp.MustCompile(`^(?s:\x00\x00\x00.)?(ssh-|ecdsa-sha2-|sk-ssh-|sk-ecdsa-|openssh-key-v1|---- BEGIN SSH2)`)

// keyForm reports whether b is in a format of keys or certificates: DER, PEM, JWK,
// OpenSSH's, or a point on P-256.
func keyForm(b []byte) bool {
	switch {
	case bytes.Contains(b, []byte("-----BEGIN ")), sshKey.Match(b):
		return true
	case len(b) > 1 && (b[0] == '{' || b[0] == '[') && json.Valid(b): // a JWK, or a set of them
		return true
	}
	if len(b) >= minDER && isDER(b) {
		return true
	}
	_, err := ecdh.P256().NewPublicKey(b)
	return err == nil
}

// isDER reports whether b is a sequence of whole values, as all keys and certificates
// are.
func isDER(b []byte) bool {
	var values []asn1.RawValue
	rest, err := asn1.Unmarshal(b, &values)
	return err == nil && len(rest) == 0 && len(values) > 1
}
