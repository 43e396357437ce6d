// Package telemetry is what an operator sees: the metrics, the access log's line of a
// request ([RequestInfo]), and the spans of a turn. Labels come from closed sets, and log
// lines do not reveal to an outsider who a visitor is.
//
// It knows no session: what a line is about says so itself ([Subject]).
package telemetry
