# shellcheck shell=bash
# What makes components of plugins in Python and in JavaScript, in the user's folder, so that plugins are built anywhere. The rules
# and the versions are those of host/src/toolchain, which looks here.

TOOLS=${LOSSMITH_TOOLS:-${XDG_DATA_HOME:-${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}/.local/share}/lossmith/tools}
COMPONENTIZE_PY=0.25.1
# 0.23.0 cannot free a tensor: its bindings of resources have no `Symbol.dispose`.
COMPONENTIZE_JS=0.19.3

setup_languages() {
    setup_language_python
    setup_language_javascript
}

setup_language_python() {
    local folder=$TOOLS/python
    if [ "$("$folder/bin/componentize-py" --version 2>/dev/null || true)" != "componentize-py $COMPONENTIZE_PY" ]; then
        say "installing componentize-py $COMPONENTIZE_PY into $folder (70 MB)"
        make_venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check "componentize-py==$COMPONENTIZE_PY" ||
            fail "componentize-py could not be installed" "$folder/bin/pip install componentize-py==$COMPONENTIZE_PY"
    fi
    say "plugins in Python: componentize-py $COMPONENTIZE_PY"
}

setup_language_javascript() {
    local folder=$TOOLS/javascript package=@bytecodealliance/componentize-js
    if ! has node || ! has npm; then
        install_packages "Node.js with npm" nodejs npm
    fi
    if [ "$(componentize_js_version "$folder" "$package")" != "$COMPONENTIZE_JS" ]; then
        say "installing componentize-js $COMPONENTIZE_JS into $folder (370 MB)"
        mkdir -p "$folder"
        npm install --silent --no-audit --no-fund --no-save --prefix "$folder" "$package@$COMPONENTIZE_JS" ||
            fail "componentize-js could not be installed" "npm install --prefix $folder $package@$COMPONENTIZE_JS"
    fi
    say "plugins in JavaScript: componentize-js $COMPONENTIZE_JS"
}

# componentize_js_version FOLDER PACKAGE: as 0.19.3, empty if it is not there.
componentize_js_version() {
    sed -n 's/^ *"version": "\(.*\)",/\1/p' "$1/node_modules/$2/package.json" 2>/dev/null | head -n 1 || true
}
