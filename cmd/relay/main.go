// Command relay is being built.
package main

import (
	_ "github.com/alexedwards/scs/v2"
	_ "github.com/alexedwards/scs/v2/memstore"
	_ "github.com/go-chi/chi/v5/middleware"
	_ "github.com/go-chi/httprate"
	_ "github.com/joho/godotenv"
	_ "github.com/prometheus/client_golang/prometheus/collectors"
	_ "github.com/prometheus/client_golang/prometheus/promhttp"
	_ "modernc.org/sqlite"
)

func main() {}
