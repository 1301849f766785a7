package engine

import (
	"context"

	"github.com/tutti-hpc/tutti"
)

// handler is how the loop calls a function.
type handler func(l *loop, ctx context.Context, args []tutti.Arg) (any, error)

// builtins are the functions that every engine has for direct views; "tutti." is theirs alone.
// A direct view's client knows their arguments:
//
//	tutti.push    name, value, name, value, ...
//	tutti.pull    name: gives the value
//	tutti.delete  name, name, ...; without any: all
//	tutti.names   gives the names, sorted
var builtins = map[string]handler{
	"tutti.push":   push,
	"tutti.pull":   pull,
	"tutti.delete": remove,
	"tutti.names":  names,
}

// named is a function under its name.
type named struct {
	name string
	call handler
}

// maxCached bounds how many unknown names a peer can make us remember.
const maxCached = 1 << 16

// find resolves a function's name, for the reader. An unknown one is found out when it runs, in
// its turn.
func (l *loop) find(name []byte) (string, handler) {
	if n, ok := l.handlers[string(name)]; ok {
		return n.name, n.call
	}
	n := named{name: string(name)}
	n.call = builtins[n.name]
	if n.call == nil {
		if h, err := tutti.LookupFunc(n.name); err == nil {
			n.call = func(_ *loop, ctx context.Context, args []tutti.Arg) (any, error) { return h(ctx, args) }
		}
	}
	if len(l.handlers) < maxCached {
		l.handlers[n.name] = n
	}
	return n.name, n.call
}

// variableName reads an argument that names a variable.
func variableName(op string, a tutti.Arg) (string, error) {
	var name string
	if err := tutti.DecodeArg(a, &name); err != nil {
		return "", tutti.Errorf(op, tutti.Invalid, "the variable's name: %w", err)
	}
	if name == "" {
		return "", tutti.Errorf(op, tutti.Invalid, "the variable's name is empty")
	}
	return name, nil
}

// push makes variables.
func push(l *loop, _ context.Context, args []tutti.Arg) (any, error) {
	if len(args)%2 != 0 {
		return nil, tutti.Errorf("push", tutti.Invalid, "%d arguments are not pairs of a name and a value", len(args))
	}
	for i := 0; i < len(args); i += 2 {
		name, err := variableName("push", args[i])
		if err != nil {
			return nil, err
		}
		v := args[i+1].Value
		own, release := l.keep(v.Data)
		l.vars.Put(name, tutti.Value{Codec: v.Codec, Data: own}, release)
	}
	return nil, nil
}

func pull(l *loop, _ context.Context, args []tutti.Arg) (any, error) {
	if len(args) != 1 {
		return nil, tutti.Errorf("pull", tutti.Invalid, "one name is pulled at a time, not %d", len(args))
	}
	name, err := variableName("pull", args[0])
	if err != nil {
		return nil, err
	}
	v, err := l.vars.Get(name)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func remove(l *loop, _ context.Context, args []tutti.Arg) (any, error) {
	list := make([]string, len(args))
	for i := range args {
		name, err := variableName("delete", args[i])
		if err != nil {
			return nil, err
		}
		list[i] = name
	}
	l.vars.Delete(list...)
	return nil, nil
}

func names(l *loop, _ context.Context, _ []tutti.Arg) (any, error) { return l.vars.Names(), nil }
