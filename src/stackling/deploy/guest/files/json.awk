# Flatten a JSON document: a line "path<TAB>value" for each string, number and literal; path parts are joined by dots.
# Line breaks and tabs inside strings become spaces.
{ rest = rest $0 " " }
END { value("") }

function take(pattern,   token) { # remove what matches at the beginning of the rest and return it
  sub(/^[ \t\r\n]+/, "", rest)
  if (match(rest, pattern) != 1) return ""
  token = substr(rest, 1, RLENGTH)
  rest = substr(rest, RLENGTH + 1)
  return token
}

function text(quoted) {
  quoted = substr(quoted, 2, length(quoted) - 2)
  gsub(/\\[nrt]/, " ", quoted)
  gsub(/\\"/, "\"", quoted)
  gsub(/\\\//, "/", quoted)
  gsub(/\\\\/, "\\", quoted)
  sub(/ +$/, "", quoted)
  return quoted
}

function value(path,   prefix, name, number) {
  prefix = path == "" ? "" : path "."
  if (take("^[{]") != "") {
    while ((name = take("^\"([^\"\\\\]|\\\\.)*\"")) != "") {
      take("^:")
      value(prefix text(name))
      take("^,")
    }
    take("^[}]")
  } else if (take("^[[]") != "") {
    number = 0
    while (take("^[]]") == "" && rest != "") {
      value(prefix number++)
      take("^,")
    }
  } else if ((name = take("^\"([^\"\\\\]|\\\\.)*\"")) != "") {
    print path "\t" text(name)
  } else {
    name = take("^[^],} \t]+")
    if (name == "") rest = ""
    print path "\t" name
  }
}
