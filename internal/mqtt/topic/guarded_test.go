package topic

import "testing"

func TestGuardedPartOfTopics(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		filter, topic string
		levels        int
		want          string
	}{
		{"devices/+/data", "devices/7/data", 2, "devices/7"},
		{"devices/+/#", "devices/7/made/up", 2, "devices/7"},
		{"devices/7/#", "devices/7/made/up", 3, "devices/7/made"},
		{"+/devices/+", "acme/devices/7", 1, "acme"},
		{"#", "a/b", 1, "a"},
		{"devices/+/#", "devices/7", 2, "devices/7"},
		{"prices/get", "prices/get", 0, "prices/get"},
		{"$share/g/devices/+/data", "devices/7/data", 2, "devices/7"},
		{"$share/g/+", "a", 1, "a"},
		{"+/a", "/a", 1, ""},
	} {
		levels := GuardedLevels(tt.filter)
		if got := Guarded(tt.topic, levels); levels != tt.levels || got != tt.want {
			t.Errorf("%q of %q: %d levels, %q, want %d, %q", tt.topic, tt.filter, levels, got, tt.levels, tt.want)
		}
	}
}
