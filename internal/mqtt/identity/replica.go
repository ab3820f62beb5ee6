// Package identity names the replicas of a service: client ids and groups of shared
// subscriptions from templates, which have placeholders for the service and for what
// distinguishes one replica from the others.
package identity

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// OrdinalVariable is the environment variable with the ordinal of a replica.
const OrdinalVariable = "MQTT_ORDINAL"

// ServiceVariable is OpenTelemetry's environment variable with the name of the service.
const ServiceVariable = "OTEL_SERVICE_NAME"

// Replica is what is known about a replica of a service.
type Replica struct {
	// Service is the name of the service; "" means that it is not known.
	Service string
	// Hostname is the name of the host, in Kubernetes that of the pod; "" means that it is
	// not known.
	Hostname string
	// Getenv returns a variable of the environment, or "".
	Getenv func(name string) string
}

// Here returns the replica that this process is. Without a name of the service, that of
// OpenTelemetry's environment is used.
func Here(service string) Replica {
	if service == "" {
		service = os.Getenv(ServiceVariable)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "" // a template that needs it is an error
	}
	return Replica{Service: service, Hostname: host, Getenv: os.Getenv}
}

// Name is a template with its placeholders replaced.
type Name struct {
	Text string
	// Template is set if there was a placeholder.
	Template bool
	// Random is set if the name differs in each process, so that no restart finds it again.
	Random bool
	// Distinct is set if the name has the hostname or the ordinal of the replica.
	Distinct bool
	// Default is a placeholder of these two that has its default; "" if none has.
	Default string
}

// MissingError is a placeholder without a value and without a default.
type MissingError struct {
	// Placeholder is its name.
	Placeholder string
	// Want describes what sets it.
	Want string
}

// Error names the placeholder.
func (e *MissingError) Error() string {
	return fmt.Sprintf("has {%s}, which is not known here: %s", e.Placeholder, e.Want)
}

// Expand replaces the placeholders of a template that may have these.
func (r Replica) Expand(template string, allowed []string) (Name, error) {
	parts, err := parse(template, allowed)
	if err != nil {
		return Name{}, err
	}
	var (
		text strings.Builder
		n    Name
	)
	for _, p := range parts {
		if !p.placeholder {
			text.WriteString(p.text)
			continue
		}
		value, known, err := r.value(p.text)
		switch {
		case err != nil:
			return Name{}, err
		case !known && !p.hasFallback:
			return Name{}, missing(p.text)
		case !known:
			value = p.fallback
		}
		n.Template = true
		switch p.text {
		case Random:
			n.Random = true
		case Hostname, Ordinal:
			if n.Distinct = n.Distinct || known; !known {
				n.Default = p.text
			}
		}
		text.WriteString(value)
	}
	n.Text = text.String()
	return n, nil
}

// value returns the value of a placeholder, and reports whether there is one.
func (r Replica) value(name string) (value string, known bool, err error) {
	switch name {
	case Service:
		return r.Service, r.Service != "", nil
	case Hostname:
		return r.Hostname, r.Hostname != "", nil
	case Ordinal:
		n, known, err := r.Ordinal()
		return strconv.Itoa(n), known, err
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:]), true, nil
}

func missing(name string) *MissingError {
	return &MissingError{name, map[string]string{
		Service:  "want " + ServiceVariable + ", the name of the service in code, or a default as in {service:reports}",
		Hostname: "want a hostname, or a default as in {hostname:local}",
		Ordinal:  "want " + OrdinalVariable + ", a pod of a StatefulSet, or a default as in {ordinal:0}",
	}[name]}
}

// Ordinal returns the number of the replica, from 0, and reports whether it is known: from
// MQTT_ORDINAL, the hostname of a pod of a StatefulSet, or what Nomad and Cloud Foundry set.
// The error is that of a variable that is not a number.
func (r Replica) Ordinal() (n int, known bool, err error) {
	if n, known, err = r.number(OrdinalVariable); known || err != nil {
		return n, known, err
	}
	if n, known = r.podOrdinal(); known {
		return n, true, nil
	}
	for _, name := range []string{"NOMAD_ALLOC_INDEX", "CF_INSTANCE_INDEX"} {
		if n, known, err = r.number(name); known || err != nil {
			return n, known, err
		}
	}
	return 0, false, nil
}

func (r Replica) number(variable string) (n int, known bool, err error) {
	text := r.getenv(variable)
	if text == "" {
		return 0, false, nil
	}
	if n, err = strconv.Atoi(text); err != nil || n < 0 {
		return 0, false, fmt.Errorf("has {%s}, but %s is %.40q, want a number from 0", Ordinal, variable, text)
	}
	return n, true, nil
}

// maxOrdinalDigits is more than a StatefulSet has replicas. The random part of the name of
// another pod has five characters, which may all be digits.
const maxOrdinalDigits = 4

// podOrdinal reads the ordinal from the name of a pod of a StatefulSet, name-0. Other hosts
// also have names that end in numbers, such as ip-10-0-0-7, which need not differ.
func (r Replica) podOrdinal() (n int, known bool) {
	at := strings.LastIndexByte(r.Hostname, '-')
	if !r.InKubernetes() || at < 1 {
		return 0, false
	}
	digits := r.Hostname[at+1:]
	n, err := strconv.Atoi(digits)
	return n, err == nil && len(digits) <= maxOrdinalDigits && strconv.Itoa(n) == digits
}

// InKubernetes reports whether the process runs in a pod.
func (r Replica) InKubernetes() bool { return r.getenv("KUBERNETES_SERVICE_HOST") != "" }

func (r Replica) getenv(name string) string {
	if r.Getenv == nil {
		return ""
	}
	return r.Getenv(name)
}
