package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	source   = "kratosmqtt/v1/config.proto"
	root     = "Settings"
	duration = "google.protobuf.Duration"
)

const head = `# Settings

<!-- Written by make settings from api/kratosmqtt/v1/config.proto. Do not edit. -->

Every key of a configuration file, with its type, its default and the values that are accepted. A key with a link has a section of
its own in another page. [Configuration](configuration.md) describes the file, and how a service reads it.

A number of 0 means the default, unless its range includes 0 or its description has a meaning of 0. A duration needs a unit: ` + "`30s`, `1h30m`" + `. Sizes are in bytes.
`

// load compiles config.proto, with its comments.
func load(ctx context.Context, folder string) (protoreflect.FileDescriptor, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{folder}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := c.Compile(ctx, source)
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

// page returns the page: a section for each message, in the order in which settings use them.
func page(file protoreflect.FileDescriptor) ([]byte, error) {
	w := bytes.NewBufferString(head)
	links, errs := maps.Clone(more()), []error(nil)
	used := uses(file.Messages().ByName(root))
	for _, m := range messages(file.Messages().ByName(root)) {
		fmt.Fprintf(w, "\n## %s\n\n%s It is used as %s.\n\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n", heading(m), about(file, m), strings.Join(used[m.FullName()], ", "))
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			comment := file.SourceLocations().ByDescriptor(f).LeadingComments
			p := split(comment)
			if p.meaning == "" {
				errs = append(errs, fmt.Errorf("%s: %s has no comment that describes it", source, f.FullName()))
			}
			if p.def == "" {
				p.def = usual(f)
			}
			key := heading(m) + "." + string(f.Name())
			shown := "`" + key + "`"
			if to, ok := links[key]; ok {
				shown = "[" + shown + "](" + to + ")"
				delete(links, key)
			}
			cells := strings.Join([]string{shown, kind(f), p.def, p.limits, p.meaning}, " | ")
			fmt.Fprintf(w, "| %s |\n", strings.ReplaceAll(cells, "|  |", "| |"))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(links)) {
		errs = append(errs, fmt.Errorf("the link of %s belongs to no setting", key))
	}
	return w.Bytes(), errors.Join(errs...)
}

// messages returns the messages that m uses, each once.
func messages(m protoreflect.MessageDescriptor) (list []protoreflect.MessageDescriptor) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if f.IsMap() {
			f = f.MapValue()
		}
		if used := f.Message(); used != nil && used.FullName() != duration && !slices.Contains(list, used) {
			for _, u := range append([]protoreflect.MessageDescriptor{used}, messages(used)...) {
				if !slices.Contains(list, u) {
					list = append(list, u)
				}
			}
		}
	}
	return list
}

// uses returns the keys under which the messages of the settings are written.
func uses(root protoreflect.MessageDescriptor) map[protoreflect.FullName][]string {
	keys := make(map[protoreflect.FullName][]string)
	for _, m := range append(messages(root), root) {
		prefix := ""
		if m != root {
			prefix = heading(m) + "."
		}
		for i := range m.Fields().Len() {
			f, name := m.Fields().Get(i), string(m.Fields().Get(i).Name())
			if f.IsMap() {
				f, name = f.MapValue(), name+".<name>"
			}
			if f.Message() != nil {
				keys[f.Message().FullName()] = append(keys[f.Message().FullName()], "`"+prefix+name+"`")
			}
		}
	}
	return keys
}

// reference is a name in brackets, for the documentation of Go.
var reference = regexp.MustCompile(`\[(\w+)\]`)

var upper = regexp.MustCompile(`([a-z])([A-Z])`)

// heading returns the name of a message as keys are written: dead_letters for DeadLetters.
func heading(m protoreflect.MessageDescriptor) string {
	return strings.ToLower(upper.ReplaceAllString(string(m.Name()), "${1}_$2"))
}

// about returns the comment of a message.
func about(file protoreflect.FileDescriptor, m protoreflect.MessageDescriptor) string {
	text := plain(file.SourceLocations().ByDescriptor(m).LeadingComments)
	return reference.ReplaceAllString(text, "$1")
}

// more returns the pages that describe a setting at length, by its key.
func more() map[string]string {
	return map[string]string{
		"connection.addresses":         "messages.md#connections",
		"connection.client_id":         "deployment.md#client-ids",
		"connection.partitions":        "partitions.md",
		"connection.tls":               "configuration.md#tls",
		"connection.password_file":     "configuration.md#new-passwords",
		"connection.proxy":             "configuration.md#proxies",
		"connection.protocol":          "messages.md#the-version-of-mqtt",
		"connection.strict":            "trust.md#how-broker-and-service-know-each-other",
		"publisher.retry":              "delivery.md#publish",
		"publisher.sequence":           "delivery.md#see-what-is-missing",
		"subscriber.concurrency":       "ordering.md",
		"subscriber.queue":             "messages.md#memory",
		"subscriber.queue_bytes":       "messages.md#memory",
		"subscriber.unmatched_grace":   "messages.md#without-a-subscription",
		"subscriber.previous_filters":  "messages.md#filters-that-are-gone",
		"subscriber.replies":           "headers-and-requests.md#where-replies-may-go",
		"subscriber.allowed_metadata":  "trust.md#what-we-check",
		"subscriber.breaker":           "delivery.md#pause-and-breaker",
		"subscription.exhausted":       "delivery.md#consume",
		"subscription.reasons":         "messages.md#handle",
		"subscription.session":         "delivery.md#what-else-stops",
		"subscription.trust_sender":    "trust.md#what-we-check",
		"subscription.ignore_retained": "messages.md#what-the-broker-had-kept",
		"outbox.driver":                "delivery.md#the-outbox",
		"outbox.keep_acknowledged":     "delivery.md#brokers-that-save-later",
		"outbox.refused_limit":         "delivery.md#refused",
		"outbox.max_quarantined":       "delivery.md#refused",
		"outbox.max_delayed":           "delivery.md#delayed-messages",
		"outbox.unrouted":              "delivery.md#nobody-subscribes",
		"dedup.driver":                 "delivery.md#once",
		"dead_letters.driver":          "delivery.md#dead-letters",
		"dead_letters.share":           "delivery.md#shares",
		"dead_letters.over_share":      "delivery.md#shares",
		"dead_letters.signing_keys":    "delivery.md#letters-at-the-broker",
		"dead_letters.park_limit":      "delivery.md#consume",
	}
}
