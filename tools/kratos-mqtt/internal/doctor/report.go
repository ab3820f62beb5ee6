package doctor

import (
	"slices"
	"strings"
)

// Grade is what a finding means for a service.
type Grade string

// The grades.
const (
	// OK means that the broker does what a service needs.
	OK Grade = "ok"
	// Limited means that the broker does less than the standard or the client allows; the
	// advice states what follows.
	Limited Grade = "limited"
	// Missing means that the broker cannot do it.
	Missing Grade = "missing"
	// Unknown means that it could not be measured; the result is the reason.
	Unknown Grade = "unknown"
)

// Finding is the result of one check.
type Finding struct {
	// Check is the name of the check.
	Check string `json:"check"`
	// Protocol is the version of MQTT, or "" for a check that has none.
	Protocol string `json:"protocol,omitempty"`
	Grade    Grade  `json:"grade"`
	// Result is what was measured, in words.
	Result string `json:"result"`
	// Values are what was measured, by name. Sizes are in bytes, times in milliseconds or, with
	// the suffix _s, in seconds.
	Values map[string]any `json:"values,omitempty"`
	// Advice is what to do about it, or "".
	Advice string `json:"advice,omitempty"`
}

// Report has the findings about a broker.
type Report struct {
	// Broker is the address, without user information.
	Broker string `json:"broker"`
	// Product is the text that the broker publishes about itself, or "".
	Product string `json:"product,omitempty"`
	// Protocols are the versions of MQTT that the broker accepted.
	Protocols []string `json:"protocols"`
	// Preset is the value of connection.preset that fits, or "" if none does.
	Preset string `json:"preset"`
	// Reason states why.
	Reason string `json:"reason"`
	// Settings are lines for the configuration of a service.
	Settings []string  `json:"settings,omitempty"`
	Findings []Finding `json:"-"`
}

// Row is a finding of one or both versions of MQTT.
type Row struct {
	Finding
	// Protocols are the versions, or "".
	Protocols string
}

// Rows returns the findings in the order of the checks. Findings of both versions are one row if
// they are the same.
func (r *Report) Rows() (rows []Row) {
	for _, check := range checks() {
		for _, f := range r.Findings {
			if f.Check != check.name {
				continue
			}
			same := func(row Row) bool {
				return row.Check == f.Check && row.Result == f.Result && row.Grade == f.Grade && row.Advice == f.Advice
			}
			if i := slices.IndexFunc(rows, same); i >= 0 {
				rows[i].Protocols += ", " + f.Protocol
				continue
			}
			rows = append(rows, Row{Finding: f, Protocols: f.Protocol})
		}
	}
	return rows
}

// Advice returns what to do, each advice once.
func (r *Report) Advice() (all []string) {
	for _, row := range r.Rows() {
		if row.Advice != "" && !slices.Contains(all, row.Advice) {
			all = append(all, row.Advice)
		}
	}
	return all
}

// find returns the finding of a check on a version, or one that is unknown.
func (r *Report) find(check, protocol string) Finding {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == check && (f.Protocol == protocol || protocol == "") })
	if i < 0 {
		return Finding{Grade: Unknown}
	}
	return r.Findings[i]
}

// Markdown returns the rows as a table for a document, without what depends on the machine.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("| check | MQTT | result |\n|---|---|---|\n")
	for _, row := range r.Rows() {
		if row.Check == checkRoundTrip {
			continue
		}
		b.WriteString("| " + strings.ReplaceAll(row.Check, "_", " ") + " | " + row.Protocols + " | " + strings.ReplaceAll(row.Result, "|", `\|`) + " |\n")
	}
	return b.String()
}
