// Package configfile reads a YAML or JSON file into a protobuf message and reports all
// problems of the file at once, in the order of its lines, with file, line and key.
// Problems never quote values, because any value may be a secret in the wrong place.
//
//	b := new(conf.Bootstrap)
//	err := configfile.Load("configs/config.yaml", b, func() error { return validate(b) })
//
// A value may refer to the environment: ${NAME} is the variable NAME, and it is an error
// if NAME is unset or empty; ${NAME:default} has a default, which may be empty and must
// not contain braces. $${ stands for a literal ${. If a value is a single placeholder
// that resolves to an empty text, its key is left unset; for a list, the resolved text
// is split at commas.
//
// Keys are the names of fields, as in the .proto file or as in JSON. Text and bytes are
// taken literally; durations have a unit, as in 30s. A key that is present sets its
// field even to zero, if the field has presence. Unknown keys, duplicate keys and values
// of the wrong type are problems.
package configfile
