package client

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// given is the configuration that a client runs with. Sections that it was not made from
// are nil.
type given struct {
	connection *v1.Connection
	publisher  *v1.Publisher
	subscriber *v1.Subscriber
}

// section returns a copy of a section, empty where the configuration does not have it.
func section[M any, P interface {
	*M
	proto.Message
}](m P,
) P {
	if m == nil {
		return P(new(M))
	}
	return proto.CloneOf(m)
}

// follow returns the sections of a changed configuration.
func (g given) follow(s *v1.Settings) given {
	if g.connection != nil {
		g.connection = section(s.GetConnection())
	}
	if g.publisher != nil {
		g.publisher = section(s.GetPublisher())
	}
	if g.subscriber != nil {
		g.subscriber = section(s.GetSubscriber())
	}
	return g
}

// The settings that may change while the client runs, by section. All others need a
// restart.
func changeable() map[protoreflect.FullName][]protoreflect.Name {
	return map[protoreflect.FullName][]protoreflect.Name{
		"kratosmqtt.v1.Connection":   {"username", "password", "password_file"},
		"kratosmqtt.v1.TLS":          {"ca_file", "cert_file", "key_file"},
		"kratosmqtt.v1.Publisher":    {"timeout", "retry"},
		"kratosmqtt.v1.Subscriber":   {"concurrency", "handler_timeout", "retry_budget", "retry", "breaker"},
		"kratosmqtt.v1.Subscription": {"concurrency", "handler_timeout", "retry_budget", "retry", "reasons", "breaker", "park_max_attempts"},
	}
}

// fixed is a setting that needs a restart.
type fixed struct{ section, key string }

// differences returns the settings that differ and may not.
func (g given) differences(next given) (all []fixed) {
	for _, s := range []struct {
		name     string
		old, now proto.Message
	}{
		{"Connection", g.connection, next.connection},
		{"Publisher", g.publisher, next.publisher},
		{"Subscriber", g.subscriber, next.subscriber},
	} {
		if s.old.ProtoReflect().IsValid() { // else the code said it
			for _, key := range differences(s.old.ProtoReflect(), s.now.ProtoReflect(), "") {
				all = append(all, fixed{s.name, key})
			}
		}
	}
	return all
}

// differences returns the paths of the settings that differ and may not.
func differences(old, now protoreflect.Message, path string) (keys []string) {
	may := changeable()[old.Descriptor().FullName()]
	fields := old.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if slices.Contains(may, f.Name()) || old.Has(f) == now.Has(f) && old.Get(f).Equal(now.Get(f)) {
			continue
		}
		key := path + string(f.Name())
		switch {
		case f.IsMap() && f.MapValue().Message() != nil && f.MapValue().Message().FullName() == "kratosmqtt.v1.Subscription":
			keys = append(keys, subscriptionDifferences(old.Get(f).Map(), now.Get(f).Map(), key)...)
		case f.Message() != nil && !f.IsMap() && !f.IsList() && old.Has(f) && now.Has(f) && changeable()[f.Message().FullName()] != nil:
			keys = append(keys, differences(old.Get(f).Message(), now.Get(f).Message(), key+".")...)
		default:
			keys = append(keys, key)
		}
	}
	return keys
}

func subscriptionDifferences(old, now protoreflect.Map, path string) (keys []string) {
	names := make(map[string]bool)
	for _, m := range []protoreflect.Map{old, now} {
		m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
			names[k.String()] = true
			return true
		})
	}
	none := new(v1.Subscription).ProtoReflect()
	of := func(m protoreflect.Map, name string) protoreflect.Message {
		if v := m.Get(protoreflect.ValueOfString(name).MapKey()); v.IsValid() {
			return v.Message()
		}
		return none
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		keys = append(keys, differences(of(old, name), of(now, name), fmt.Sprintf("%s.%s.", path, name))...)
	}
	return keys
}
