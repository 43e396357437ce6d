package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

const tracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

// readOTLP reads the standard OpenTelemetry variable that enables traces.
func readOTLP(s *settings, v string) error {
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("must be an http or https URL such as http://127.0.0.1:4318")
	}
	s.otlp = v
	return nil
}

// startTraces sets up traces as configured by the standard OpenTelemetry variables, which
// the libraries read from the process's environment. It returns nil if no endpoint is set.
// The caller shuts the provider down.
func startTraces(ctx context.Context, s *settings, lookup func(string) (string, bool), log *slog.Logger) (*sdktrace.TracerProvider, error) {
	get := func(name string) string { v, _ := lookup(name); return strings.TrimSpace(v) }
	if (s.otlp == "" && get(tracesEndpoint) == "") || get("OTEL_TRACES_EXPORTER") == "none" || strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		if p := get(name); p != "" && p != "http/protobuf" {
			return nil, fmt.Errorf("%s=%s is not supported; use http/protobuf, usually on port 4318", name, p)
		}
	}
	var opts []otlptracehttp.Option
	if get(tracesEndpoint) == "" { // s.otlp may come from .env, which the library does not read
		opts = append(opts, otlptracehttp.WithEndpointURL(strings.TrimSuffix(s.otlp, "/")+"/v1/traces"))
	}
	exporter, err := otlptracehttp.New(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "relay"), attribute.String("service.version", version())),
		resource.WithFromEnv()) // last, so that OTEL_SERVICE_NAME wins
	if err != nil {
		return nil, fmt.Errorf("set up traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("failed to export traces", "error", err) }))
	return sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about)), nil
}

// tracesLimit is the time limit for exporting the last traces at shutdown.
const tracesLimit = 2 * time.Second

// endTraces exports the remaining traces. A failure is logged like any other lost trace.
func endTraces(ctx context.Context, traces *sdktrace.TracerProvider) {
	if traces == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesLimit)
	defer cancel()
	if err := traces.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}
