package topic

import "strings"

const sharePrefix = SharePrefix + "/"

// SharePrefix is the first level of shared filters [MQTT-4.8.2].
const SharePrefix = "$share"

// GroupLess is the prefix of shared filters without a group: all subscribers of
// a filter form one group.
const GroupLess = "$queue"

// SharedAs returns a shared filter with another prefix: prefix/group/inner, or
// prefix/inner for [GroupLess]. "" stands for $share. It returns an unshared
// filter unchanged.
func SharedAs(prefix, filter string) string {
	rest, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared || prefix == "" {
		return filter
	}
	if prefix == GroupLess {
		_, rest, _ = strings.Cut(rest, "/")
	}
	return prefix + "/" + rest
}

// IsShared reports whether a filter has the $share prefix; it may still be
// invalid.
func IsShared(filter string) bool { return strings.HasPrefix(filter, sharePrefix) }

// Unshared returns a filter without $share and group. It does not validate; see
// [ParseShared].
func Unshared(filter string) string {
	if rest, shared := strings.CutPrefix(filter, sharePrefix); shared {
		_, filter, _ = strings.Cut(rest, "/")
	}
	return filter
}

// ValidateSharePrefix checks a prefix of shared filters: one level that begins
// with $ and is not $SYS. The error is an [*Error].
func ValidateSharePrefix(s string) error {
	if err := checkText(KindPrefix, s); err != nil {
		return err
	}
	switch {
	case s[0] != '$' || len(s) == 1:
		return &Error{KindPrefix, s, "", "does not begin with $, as in $share"}
	case strings.ContainsAny(s, "/+#"):
		return &Error{KindPrefix, s, "", "is not one level of text"}
	case s == "$SYS":
		return &Error{KindPrefix, s, "", "is reserved for the broker's own topics"}
	}
	return nil
}

// ParseShared validates a filter and splits a shared one: "$share/group/inner".
// For an unshared filter inner is the filter itself. A group has at least one
// character [MQTT-4.8.2-1], contains none of / + #, and is followed by a filter
// [MQTT-4.8.2-2]. The error is an [*Error].
func ParseShared(filter string) (group, inner string, shared bool, err error) {
	rest, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, false, checkFilter(filter, filter)
	}
	group, inner, ok := strings.Cut(rest, "/")
	switch {
	case len(filter) > MaxLength:
		err = &Error{KindFilter, filter, "MQTT-4.7.3-3", "is longer than 65,535 bytes"}
	case group == "":
		err = &Error{KindFilter, filter, "MQTT-4.8.2-1", "share name is empty"}
	case strings.ContainsAny(group, "+#"):
		err = &Error{KindFilter, filter, "MQTT-4.8.2-2", "share name contains a wildcard"}
	case !ok || inner == "":
		err = &Error{KindFilter, filter, "MQTT-4.8.2-2", "no filter after the share name"}
	default:
		if err = checkText(KindGroup, group); err == nil {
			err = checkFilter(filter, inner)
		}
	}
	if err != nil {
		return "", "", true, err
	}
	return group, inner, true, nil
}

// Share returns the shared filter for a group: the broker sends each message
// that matches filter to one member of the group. It rejects what [ParseShared]
// rejects and a filter that is shared already.
func Share(group, filter string) (string, error) {
	if strings.HasPrefix(filter, sharePrefix) {
		return "", &Error{KindFilter, filter, "MQTT-4.8.2-2", "is shared already"}
	}
	if strings.IndexByte(group, '/') >= 0 {
		return "", &Error{KindGroup, group, "MQTT-4.8.2-2", "contains /"}
	}
	s := sharePrefix + group + "/" + filter
	if err := ValidateFilter(s); err != nil {
		return "", err
	}
	return s, nil
}

// IsBroad reports whether a filter matches far more than a service usually
// wants: it has wildcards and no literal level, such as "#", "+/#" and "/+", or
// it matches $SYS topics. For a shared filter the inner filter counts.
// Subscribing to such a filter needs an explicit option.
func IsBroad(filter string) bool {
	_, inner, _, err := ParseShared(filter)
	if err != nil {
		return false
	}
	if first, _, _ := strings.Cut(inner, "/"); first == "$SYS" {
		return true
	}
	return strings.ContainsAny(inner, "+#") && strings.Trim(inner, "+#/") == ""
}
