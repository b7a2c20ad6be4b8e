// queries SCRAPE: reads queries from standard input, one a line, parses each with Prometheus's own parser, and fails if
// one names a metric that the scrape lacks, or a label that this metric does not carry there.
package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var (
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? `)
	label  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
)

// scraped returns the labels of each metric in a scrape.
func scraped(path string) (map[string]map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	metrics := map[string]map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		found := sample.FindStringSubmatch(line)
		if found == nil || strings.HasPrefix(line, "#") {
			continue
		}
		if metrics[found[1]] == nil {
			metrics[found[1]] = map[string]bool{}
		}
		for _, pair := range label.FindAllStringSubmatch(found[2], -1) {
			metrics[found[1]][pair[1]] = true
		}
	}
	return metrics, nil
}

// check returns what is wrong with one query.
func check(query string, metrics map[string]map[string]bool) (wrong []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		wanted := map[string]bool{}
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, matcher := range n.LabelMatchers {
				if matcher.Name != labels.MetricName {
					wanted[matcher.Name] = true
				}
			}
		case *parser.AggregateExpr:
			for _, name := range n.Grouping {
				wanted[name] = true
			}
		default:
			return nil
		}
		// The metrics below this node have to carry the labels.
		parser.Inspect(node, func(below parser.Node, _ []parser.Node) error {
			if selector, ok := below.(*parser.VectorSelector); ok {
				known, there := metrics[selector.Name]
				if !there {
					wrong = append(wrong, "no metric "+selector.Name)
				}
				for name := range wanted {
					if there && !known[name] {
						wrong = append(wrong, selector.Name+" has no label "+name)
					}
				}
			}
			return nil
		})
		return nil
	})
	return wrong
}

func main() {
	metrics, err := scraped(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	count, failed := 0, false
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		count++
		for _, wrong := range check(lines.Text(), metrics) {
			failed = true
			fmt.Fprintf(os.Stderr, "queries: %s: in: %s\n", wrong, lines.Text())
		}
	}
	if failed || count == 0 {
		os.Exit(1)
	}
	fmt.Printf("queries: %d queries parse, and name metrics and labels that are there\n", count)
}
