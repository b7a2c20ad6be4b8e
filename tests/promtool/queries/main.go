// queries SCRAPE DOCUMENT: reads queries from standard input, one a line, parses each with Prometheus's own parser, and fails
// if one names a metric that the scrape lacks, or a label that this metric does not carry there, or asks for a value of a label
// that neither is in the scrape nor is told of in the document's table of metrics ("outcome is issued, refused, or unknown").
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
	label  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
	// Name, type, labels, meaning.
	row    = regexp.MustCompile("^\\| `([a-z_]+)` \\| [a-z]+ \\| ([^|]*) \\| (.*) \\|$")
	aside  = regexp.MustCompile(`\([^)]*\)`)
	parts  = regexp.MustCompile(`,? or |, |: `)
	word   = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	series = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// values are those of each label of each metric.
type values map[string]map[string]map[string]bool

func (v values) add(metric, label string, all ...string) {
	if v[metric] == nil {
		v[metric] = map[string]map[string]bool{}
	}
	if label == "" {
		return
	}
	if v[metric][label] == nil {
		v[metric][label] = map[string]bool{}
	}
	for _, value := range all {
		v[metric][label][value] = true
	}
}

// scraped returns the values in a scrape.
func scraped(path string) (values, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	metrics := values{}
	for _, line := range strings.Split(string(text), "\n") {
		found := sample.FindStringSubmatch(line)
		if found == nil || strings.HasPrefix(line, "#") {
			continue
		}
		metrics.add(found[1], "")
		for _, pair := range label.FindAllStringSubmatch(found[2], -1) {
			metrics.add(found[1], pair[1], pair[2])
		}
	}
	return metrics, nil
}

// told returns the values that the document tells of: after "label is", the words up to the end of the clause, without asides.
func told(path string) (values, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	metrics := values{}
	for _, line := range strings.Split(string(text), "\n") {
		found := row.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		meaning := aside.ReplaceAllString(found[3], "")
		for _, name := range strings.Split(found[2], ", ") {
			name = strings.Trim(name, "` ")
			at := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + ` is ([^.;]*)`).FindStringSubmatch(meaning)
			if name == "" || at == nil {
				continue
			}
			for _, part := range parts.Split(at[1], -1) {
				if part = strings.TrimSpace(part); word.MatchString(part) {
					metrics.add(found[1], name, part)
				}
			}
		}
	}
	return metrics, nil
}

// asked returns the values that a matcher asks for, as far as they are literal.
func asked(matcher *labels.Matcher) []string {
	switch matcher.Type {
	case labels.MatchEqual, labels.MatchNotEqual:
		if matcher.Value == "" {
			return nil
		}
		return []string{matcher.Value}
	default:
		return matcher.SetMatches()
	}
}

// check returns what is wrong with one query.
func check(query string, metrics, document values) (wrong []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		wanted := map[string]bool{}
		switch n := node.(type) {
		case *parser.VectorSelector:
			for _, matcher := range n.LabelMatchers {
				if matcher.Name == labels.MetricName {
					continue
				}
				wanted[matcher.Name] = true
				base := series.ReplaceAllString(n.Name, "")
				for _, value := range asked(matcher) {
					if !metrics[n.Name][matcher.Name][value] && !document[n.Name][matcher.Name][value] && !document[base][matcher.Name][value] {
						wrong = append(wrong, fmt.Sprintf("%s has no value %q of the label %s, in the scrape or in the document", n.Name, value, matcher.Name))
					}
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
					if there && known[name] == nil {
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
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "queries: SCRAPE and DOCUMENT are needed")
		os.Exit(2)
	}
	metrics, err := scraped(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	document, err := told(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	count, failed := 0, false
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		count++
		for _, wrong := range check(lines.Text(), metrics, document) {
			failed = true
			fmt.Fprintf(os.Stderr, "queries: %s: in: %s\n", wrong, lines.Text())
		}
	}
	if failed || count == 0 {
		os.Exit(1)
	}
	fmt.Printf("queries: %d queries parse, and name metrics, labels and values that are there\n", count)
}
