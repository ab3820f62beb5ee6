package observe_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"gopkg.in/yaml.v3"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

const (
	operations = "../docs/operations"
	page       = "../docs/guide/operations.md"
)

// scrape returns what Prometheus reads from the reference service after one event of each
// kind.
func scrape(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	m, err := observe.NewMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)))
	if err != nil {
		t.Fatal(err)
	}
	m.Watch(fixed{Instance: "1", Sessions: []event.SessionHealth{{ClientID: "saver"}}, BrokerCertificateEnds: time.Now(), ClientCertificateEnds: time.Now()})
	everything(m)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// promtool runs Prometheus' own checker.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed and CI=true: install the Debian package prometheus")
		}
		t.Skip("promtool is not installed: the Debian package prometheus has it")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolChecksMetrics(t *testing.T) {
	t.Parallel()
	promtool(t, scrape(t), "check", "metrics")
}

func TestPromtoolChecksRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "check", "rules", filepath.Join(operations, "alerts.yaml"))
}

// The alerts fire and end as testdata/alerts_test.yaml says.
func TestPromtoolRunsRules(t *testing.T) {
	t.Parallel()
	promtool(t, "", "test", "rules", "testdata/alerts_test.yaml")
}

var metricName = regexp.MustCompile(`\b(?:kratosmqtt|messaging)_[a-z0-9_]+\b`)

// exposed returns the names that a query can use.
func exposed(text string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			name, _, _ := strings.Cut(line, "{")
			all[name] = true
		}
	}
	return all
}

// labels are names in queries that are labels, not metrics.
func isLabel(name string) bool {
	return strings.HasPrefix(name, "messaging_destination_") || strings.HasPrefix(name, "messaging_client_id") || name == "kratosmqtt_loss_kind"
}

func checkQuery(t *testing.T, where, query string, names map[string]bool) {
	t.Helper()
	found := metricName.FindAllString(query, -1)
	if len(found) == 0 {
		t.Errorf("%s: the query %q names no metric", where, query)
	}
	for _, name := range found {
		if !names[name] && !isLabel(name) {
			t.Errorf("%s: metric %s does not exist", where, name)
		}
	}
}

// rules are the parts of a file of alert rules that are checked.
type rules struct {
	Groups []struct {
		Rules []struct {
			Alert, Expr string
			Annotations map[string]string
		}
	}
}

func alerts(t *testing.T) rules {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(operations, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r rules
	if err := yaml.Unmarshal(text, &r); err != nil || len(r.Groups) == 0 {
		t.Fatalf("%d groups, %v", len(r.Groups), err)
	}
	return r
}

// Each alert asks for metrics that exist.
func TestAlertsNameMetrics(t *testing.T) {
	t.Parallel()
	names := exposed(scrape(t))
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			checkQuery(t, r.Alert, r.Expr, names)
			if r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("%s: no summary or no action", r.Alert)
			}
		}
	}
}

// board are the parts of a Grafana dashboard that are checked here; the rest is checked by
// a schema.
type board struct {
	Panels []struct {
		ID      int
		Title   string
		Targets []struct{ Expr string }
	}
}

func dashboard(t *testing.T) (b board) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(operations, "board.json"))
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := jsonschema.NewCompiler().Compile("testdata/board.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled.Validate(value); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// The board fits the schema of dashboards, and each of its queries names metrics that
// exist.
func TestBoard(t *testing.T) {
	t.Parallel()
	names, ids := exposed(scrape(t)), make(map[int]string)
	for _, p := range dashboard(t).Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("%s and %s have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		for _, target := range p.Targets {
			checkQuery(t, p.Title, target.Expr, names)
		}
	}
}

// TestPage wants the tables of docs/guide/operations.md that are made of what is here:
// metrics, reasons of probes, alerts and queries.
func TestPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, table := range map[string]string{"metrics": metricTable(t), "alerts": alertTable(t), "board": boardTable(t)} {
		begin, end := "<!-- "+name+": UPDATE=1 go test ./observe -->\n", "<!-- end of "+name+" -->\n"
		before, rest, ok := strings.Cut(want, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the %s", page, name)
		}
		want = before + begin + table + end + after
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(page, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not up to date: UPDATE=1 go test ./observe", page)
	}
	source, err := os.ReadFile("probe.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range regexp.MustCompile(`Code = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
		if !strings.Contains(want, "`"+code[1]+"`") {
			t.Errorf("%s does not explain %s", page, code[1])
		}
	}
}

// metricTable lists what is scraped, with its help.
func metricTable(t *testing.T) string {
	t.Helper()
	text := scrape(t)
	kinds := make(map[string]string)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			kinds[f[2]] = f[3]
		}
	}
	var rows []string
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, "# HELP ")
		name, help, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if ok && metricName.MatchString(name) {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", name, kinds[name], help))
		}
	}
	slices.Sort(rows)
	return "| metric | kind | what it says |\n|---|---|---|\n" + strings.Join(rows, "")
}

func alertTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| alert | means | what to do |\n|---|---|---|\n")
	for _, g := range alerts(t).Groups {
		for _, r := range g.Rules {
			fmt.Fprintf(&out, "| `%s` | %s | %s |\n", r.Alert, r.Annotations["summary"], r.Annotations["action"])
		}
	}
	return out.String()
}

func boardTable(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| panel | query |\n|---|---|\n")
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			fmt.Fprintf(&out, "| %s | `%s` |\n", p.Title, strings.ReplaceAll(target.Expr, "|", `\|`))
		}
	}
	return out.String()
}
