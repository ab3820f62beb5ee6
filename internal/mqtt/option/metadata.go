package option

import (
	"maps"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// globalPrefix begins the names of Kratos metadata that travels on, beyond the next
// hop.
const globalPrefix = envelope.MetadataPrefix + "global-"

// Metadata returns what Kratos' metadata middleware would send: the client metadata of a
// context, and the global part of the metadata of the request that is handled. Either may be
// nil. Other keys are not sent, because any subscriber can read a message.
func Metadata(sent, handled map[string][]string) []client.UserProperty {
	return appendPrefixed(appendPrefixed(nil, sent, envelope.MetadataPrefix), handled, globalPrefix)
}

// appendPrefixed appends in the order of the names, so that the same ones are kept each
// time if not all have room.
func appendPrefixed(list []client.UserProperty, md map[string][]string, prefix string) []client.UserProperty {
	if len(md) == 0 { // the usual case allocates nothing
		return list
	}
	for _, key := range slices.Sorted(maps.Keys(md)) {
		if name := strings.ToLower(key); strings.HasPrefix(name, prefix) {
			list = appendValues(list, name, md[key])
		}
	}
	return list
}

// HeaderMetadata returns all values of a header, in the order of its keys.
func HeaderMetadata(h interface {
	Keys() []string
	Values(key string) []string
},
) (list []client.UserProperty) {
	for _, key := range slices.Sorted(slices.Values(h.Keys())) {
		list = appendValues(list, key, h.Values(key))
	}
	return list
}

func appendValues(list []client.UserProperty, key string, values []string) []client.UserProperty {
	for _, v := range values {
		list = append(list, client.UserProperty{Key: key, Value: v})
	}
	return list
}
