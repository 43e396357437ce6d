// A site that identifies its visitors to the relay.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// identity returns a JWT that identifies the person to the relay for five minutes.
func identity(key []byte, sub string) (string, error) {
	claims := jwt.RegisteredClaims{Subject: sub, ExpiresAt: jwt.NewNumericDate(time.Now().Add(5 * time.Minute))}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
}

// signedIn returns the signed-in user; read yours from your own session.
func signedIn(*http.Request) string { return "user-42" }

func main() {
	key := []byte(os.Getenv("RELAY_IDENTITY_KEY")) // the same as the relay's
	if len(key) == 0 {
		log.Fatal("RELAY_IDENTITY_KEY is not set")
	}
	http.HandleFunc("GET /chat-identity", func(w http.ResponseWriter, r *http.Request) {
		token, err := identity(key, signedIn(r))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, token)
	})
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "examples/identity/page.html")
	})
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "localhost:"+cmp.Or(os.Getenv("PORT"), "8000"))
	if err != nil {
		log.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String()) // a listener's address has a port
	fmt.Printf("http://localhost:%s/\n", port)         // the origin that the relay allows
	log.Fatal(http.Serve(l, nil))                      //nolint:gosec // an example, on loopback
}
