package check

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Nagios returns the report as a plugin of Nagios and its successors writes it: a line with the
// state and the performance data, then a line for each check.
func (r *Report) Nagios() string {
	var worst, data []string
	for _, each := range r.Results {
		if each.State == r.State {
			worst = append(worst, each.Text)
		}
		if each.Value != nil {
			data = append(data, each.data())
		}
	}
	if r.State == OK {
		worst = []string{fmt.Sprintf("checks made: %d", len(r.Results))}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "MQTT %s - %s", strings.ToUpper(r.State.String()), plain(strings.Join(worst, "; ")))
	if len(data) > 0 {
		out.WriteString(" | " + strings.Join(data, " "))
	}
	out.WriteString("\n")
	for _, each := range r.Results {
		fmt.Fprintf(&out, "[%s] %s: %s\n", each.State, each.Name, plain(each.Text))
	}
	return out.String()
}

// plain removes what separates text from performance data.
func plain(text string) string {
	return strings.NewReplacer("|", "/", "\n", " ", "\r", " ").Replace(text)
}

// data returns the performance data of a check: label=value[unit];warning;critical;minimum.
// Units other than seconds are not known to the format. A value below which is a warning is a
// range.
func (r *Result) data() string {
	unit, after := "", ""
	if r.Unit == "s" {
		unit = "s"
	}
	if r.below() {
		after = ":"
	}
	limit := func(v float64) string {
		if v == 0 {
			return ""
		}
		return number(v) + after
	}
	value := number(*r.Value)
	if math.IsInf(*r.Value, 0) {
		value, unit = "U", "" // not known, in this format
	}
	return fmt.Sprintf("%s=%s%s;%s;%s;%s", r.Name, value, unit, limit(r.Warning), limit(r.Critical), map[bool]string{false: "0"}[r.below()])
}

// below reports whether low values are bad.
func (r *Result) below() bool { return r.Unit == "d" }

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// JSON returns the report as one line.
func (r *Report) JSON() (string, error) {
	results := slices.Clone(r.Results)
	for i := range results {
		if v := results[i].Value; v != nil && math.IsInf(*v, 0) {
			results[i].Value = nil // JSON has no infinity
		}
	}
	text, err := json.Marshal(Report{r.Service, r.State, results})
	return string(text) + "\n", err
}

// Prometheus returns the report in the text format of Prometheus, for its node exporter.
func (r *Report) Prometheus() string {
	var states, values strings.Builder
	at := "service=" + quoted(r.Service)
	fmt.Fprintf(&states, "kratosmqtt_check_state{%s,check=\"all\"} %d\n", at, r.State)
	for _, each := range r.Results {
		labels := at + ",check=" + quoted(each.Name)
		fmt.Fprintf(&states, "kratosmqtt_check_state{%s} %d\n", labels, each.State)
		if each.Value != nil {
			fmt.Fprintf(&values, "kratosmqtt_check_value{%s,unit=%s} %s\n", labels, quoted(each.Unit), number(*each.Value))
		}
	}
	out := "# HELP kratosmqtt_check_state Result of a check: 0 ok, 1 warning, 2 critical, 3 unknown\n# TYPE kratosmqtt_check_state gauge\n" + states.String()
	if values.Len() > 0 {
		out += "# HELP kratosmqtt_check_value What a check measured\n# TYPE kratosmqtt_check_value gauge\n" + values.String()
	}
	return out
}

func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}
