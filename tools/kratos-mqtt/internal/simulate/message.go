package simulate

import (
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// deepest is the depth of messages in messages, and deepestRequired that of those that have to be
// there.
const (
	deepest         = 4
	deepestRequired = 16
)

// fill sets the fields of a message: one of each oneof, most of the optional ones, all others.
func (d *device) fill(m protoreflect.Message, path string, depth int) {
	if d.spend(perMessage); d.over() || d.wellKnown(m, nil) {
		return
	}
	fields, chosen, left := m.Descriptor().Fields(), d.choose(m.Descriptor().Oneofs()), d.left(m.Descriptor())
	for i := range fields.Len() {
		f := fields.Get(i)
		at := string(f.Name())
		if path != "" {
			at = path + "." + at
		}
		if left[f.Name()] || d.skips(f, at, depth, chosen) {
			continue
		}
		of := d.rules.fields[f.FullName()]
		switch {
		case f.IsMap():
			d.entries(m.Mutable(f).Map(), f, at, depth, of)
		case f.IsList():
			d.items(m.Mutable(f).List(), f, at, depth, of)
		case f.Message() != nil:
			d.message(m.Mutable(f).Message(), at, depth+1, of)
		default:
			m.Set(f, d.scalar(f, at, of))
		}
	}
}

// message is fill for a message that is the value of a field with rules.
func (d *device) message(m protoreflect.Message, path string, depth int, of *validate.FieldRules) {
	if d.wellKnown(m, limitsOf(of)) {
		return
	}
	if value := m.Descriptor().Fields().ByName("value"); value != nil && m.Descriptor().ParentFile().Path() == "google/protobuf/wrappers.proto" {
		m.Set(value, d.scalar(value, path, of)) // the rules are those of the value
		return
	}
	d.fill(m, path, depth)
}

// items fills a list with as many items as its rules want, else with one to three.
func (d *device) items(list protoreflect.List, f protoreflect.FieldDescriptor, path string, depth int, of *validate.FieldRules) {
	l := limitsOf(of)
	seen := make(map[any]bool)
	for want := d.size(l.size("min_items", 0), l.size("max_items", maxItems), 3); list.Len() < want && !d.over(); {
		v := list.NewElement()
		for range attempts {
			if d.spend(1); f.Message() != nil {
				v = list.NewElement()
				d.message(v.Message(), path, depth+1, of.GetRepeated().GetItems())
			} else {
				v = d.scalar(f, path, of.GetRepeated().GetItems())
			}
			if !of.GetRepeated().GetUnique() || !seen[v.String()] || d.over() {
				break
			}
		}
		seen[v.String()] = true
		list.Append(v)
	}
}

// maxItems bounds a list without a rule about its length.
const maxItems = 1 << 10

// size returns a number of items between the bounds of a rule, of up to usual ones.
func (d *device) size(least, most, usual int) int {
	low := min(max(least, 1), most)
	top := min(max(usual, low), most)
	return low + d.IntN(top-low+1)
}

// choose returns one field of each oneof.
func (d *device) choose(of protoreflect.OneofDescriptors) map[protoreflect.FullName]bool {
	chosen := make(map[protoreflect.FullName]bool)
	for i := range of.Len() {
		fields := of.Get(i).Fields()
		chosen[fields.Get(d.IntN(fields.Len())).FullName()] = true
	}
	return chosen
}

// skips reports whether a field stays unset.
func (d *device) skips(f protoreflect.FieldDescriptor, path string, depth int, chosen map[protoreflect.FullName]bool) bool {
	chance := d.IntN(10)
	within := d.contains(path)
	switch {
	case f.Cardinality() == protoreflect.Required || d.own[path] || d.rules.fields[f.FullName()].GetRequired() && depth < deepestRequired:
		return false
	case f.Message() != nil && (depth >= deepest || d.work > manyWork):
		return !within
	case f.Message() != nil && f.Message().FullName() == "google.protobuf.Any":
		return true // of which message is not known
	}
	if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
		return !chosen[f.FullName()]
	}
	return f.HasOptionalKeyword() && chance == 0 && !within
}

// contains reports whether a field that identifies the device is below a path.
func (d *device) contains(path string) bool {
	for own := range d.own {
		if strings.HasPrefix(own, path+".") {
			return true
		}
	}
	return false
}

func (d *device) entries(m protoreflect.Map, f protoreflect.FieldDescriptor, path string, depth int, of *validate.FieldRules) {
	l := limitsOf(of)
	want := d.size(l.size("min_pairs", 0), l.size("max_pairs", maxItems), 2)
	for tries := 0; m.Len() < want && tries < attempts+want && !d.over(); tries++ {
		d.spend(1)
		key := d.scalar(f.MapKey(), path+".key", of.GetMap().GetKeys()).MapKey()
		if f.MapValue().Message() != nil {
			value := m.NewValue()
			d.message(value.Message(), path, depth+1, of.GetMap().GetValues())
			m.Set(key, value)
		} else {
			m.Set(key, d.scalar(f.MapValue(), path, of.GetMap().GetValues()))
		}
	}
}
