package tutti

// The msgpack forms of what travels inside messages. They are made by `go generate`; run it after
// changing a struct named here.

//go:generate go tool msgp -file id.go -o id_gen.go -io=false -tests=false
//go:generate go tool msgp -file ref.go -o ref_gen.go -io=false -tests=false
//go:generate go tool msgp -file value.go -o value_gen.go -io=false -tests=false
//go:generate go tool msgp -file resources.go -o resources_gen.go -io=false -tests=false
//go:generate go tool msgp -file task.go -o task_gen.go -io=false -tests=false
