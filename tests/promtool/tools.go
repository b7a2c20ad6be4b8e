//go:build tools

// Package tools pins the program that checks the alert rules and the dashboard's queries.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
