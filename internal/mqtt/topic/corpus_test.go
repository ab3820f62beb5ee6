package topic

import "strings"

// filterCase is one filter of the corpus that tests, fuzz seeds and benchmarks
// share. rule is the rule that the filter breaks, or "" for a valid one.
type filterCase struct {
	filter string
	rule   string
	broad  bool
}

func filterCorpus() []filterCase {
	return []filterCase{
		{"a", "", false},
		{"a/b/c", "", false},
		{"/", "", false},
		{"/a", "", false},
		{"a/", "", false},
		{"a//b", "", false},
		{"a b/grün/日本", "", false},
		{"+", "", true},
		{"+/+", "", true},
		{"/+", "", true},
		{"#", "", true},
		{"+/#", "", true},
		{"/#", "", true},
		{"+//#", "", true},
		{"a/#", "", false},
		{"+/a/#", "", false},
		{"a/+/c", "", false},
		{"a/+/+/#", "", false},
		{"$SYS/#", "", true},
		{"$SYS/broker/uptime", "", true},
		{"$SYS", "", true},
		{"$SYSTEM/x", "", false},
		{"$share", "", false},
		{"$shared/g/a", "", false},
		{"$share/g/a/+", "", false},
		{"$share/g/#", "", true},
		{"$share/g//a", "", false},
		{"$share/g/$SYS/#", "", true},
		{"$share/group name/a", "", false},
		{strings.Repeat("x", MaxLength), "", false},
		{"", "MQTT-4.7.3-1", false},
		{"a\x00b", "MQTT-4.7.3-2", false},
		{"a\xff", "MQTT-1.5.4-1", false},
		{"a/\xed\xa0\x80", "MQTT-1.5.4-1", false},
		{strings.Repeat("x", MaxLength+1), "MQTT-4.7.3-3", false},
		{"a+", "MQTT-4.7.1-2", false},
		{"+a/b", "MQTT-4.7.1-2", false},
		{"a/b+/c", "MQTT-4.7.1-2", false},
		{"++", "MQTT-4.7.1-2", false},
		{"a#", "MQTT-4.7.1-1", false},
		{"#/a", "MQTT-4.7.1-1", false},
		{"a/#/", "MQTT-4.7.1-1", false},
		{"a/##", "MQTT-4.7.1-1", false},
		{"$share/", "MQTT-4.8.2-1", false},
		{"$share//a", "MQTT-4.8.2-1", false},
		{"$share/g", "MQTT-4.8.2-2", false},
		{"$share/g/", "MQTT-4.8.2-2", false},
		{"$share/+/a", "MQTT-4.8.2-2", false},
		{"$share/g#/a", "MQTT-4.8.2-2", false},
		{"$share/g/a#", "MQTT-4.7.1-1", false},
		{"$share/g/b+", "MQTT-4.7.1-2", false},
		{"$share/\xff/a", "MQTT-1.5.4-1", false},
		{"$share/g/\x00", "MQTT-4.7.3-2", false},
		{"$share/g/" + strings.Repeat("x", MaxLength), "MQTT-4.7.3-3", false},
	}
}

// matchCase is a filter, a name and whether they match.
type matchCase struct {
	filter, name string
	want         bool
}

func matchCorpus() []matchCase {
	return []matchCase{
		{"a", "a", true},
		{"a", "b", false},
		{"a", "A", false},
		{"a", "a/b", false},
		{"a/b", "a", false},
		{"a/", "a", false},
		{"a", "a/", false},
		{"/a", "a", false},
		{"/a", "/a", true},
		{"a/b/c", "a/b/c", true},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"a/+/c", "a/c", false},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"a/+", "a/b/c", false},
		{"+", "a", true},
		{"+", "/a", false},
		{"+/+", "/a", true},
		{"/+", "/a", true},
		{"+/a/#", "x/a", true},
		{"+/a/#", "x/a/b/c", true},
		{"#", "a", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"a/+/#", "a/b/c/d", true},
		{"#", "$SYS/x", false},
		{"+/x", "$SYS/x", false},
		{"+/#", "$SYS/x", false},
		{"+", "$x", false},
		{"$SYS/#", "$SYS/x", true},
		{"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/x", true},
		{"a/+", "a/$x", true},
		{"a/#", "a/$x/y", true},
		{"$share/g/a/+", "a/b", true},
		{"$share/g/a/+", "$share/g/a/b", false},
		{"$share/g/#", "a", true},
		{"$share/g/#", "$SYS/a", false},
		{"$share/g//a", "/a", true},
		{"a", "", false},
		{"#", "", false},
		{"a#", "a#", false},
		{"", "", false},
		{"$share/g", "$share/g", false},
	}
}
