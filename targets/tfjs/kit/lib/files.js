/** The bundle's files, each checked against the hash in manifest.json. */

const RETRY = "Upload the whole bundle again.";

export class Files {
  /** @param base the URL of the bundle's folder, with its last slash. */
  static async open(base) {
    const response = await fetch(new URL("manifest.json", base)).catch(() => null);
    if (!response?.ok) {
      const state = response ? `the server answers ${response.status}` : "the server cannot be reached";
      throw new Error(`manifest.json could not be loaded from ${base}: ${state}.`);
    }
    const manifest = await response.json();
    if (manifest.schema_version !== 1) throw new Error(`manifest.json is of another edgepack. ${RETRY}`);
    return new Files(base, manifest);
  }

  constructor(base, manifest) {
    Object.assign(this, { base, manifest });
    this.entries = new Map(manifest.files.map((entry) => [entry.path, entry]));
  }

  /** The bytes of a file. Throws an Error that says what is wrong with it. */
  async bytes(path) {
    const entry = this.#entry(path);
    const url = this.#url(path);
    let response;
    try {
      response = await fetch(url, { integrity: hash(entry) });
    } catch {
      throw await explain(path, url);
    }
    if (!response.ok) throw missing(path, response.status);
    return response.arrayBuffer();
  }

  /** A file as an ES module. */
  async module(path) {
    const entry = this.#entry(path);
    const url = this.#url(path);
    // import() takes no hash; a module preloaded with one is the module that it then finds
    const link = globalThis.document?.createElement("link");
    if (link?.relList.supports("modulepreload")) {
      const loaded = new Promise((resolve, reject) => Object.assign(link, { onload: resolve, onerror: reject }));
      Object.assign(link, { rel: "modulepreload", href: url, integrity: hash(entry) });
      document.head.append(link);
      try {
        await loaded;
      } catch {
        throw await explain(path, url);
      } finally {
        link.remove();
      }
    }
    return import(/* @vite-ignore */ /* webpackIgnore: true */ url);
  }

  #entry(path) {
    const entry = this.entries.get(path);
    if (!entry) throw new Error(`${path} is not a file of this bundle. ${RETRY}`);
    return entry;
  }

  #url(path) {
    return new URL(path.split("/").map(encodeURIComponent).join("/"), this.base).href;
  }
}

/** A manifest's SHA-256 as browsers want it: "sha256-" and base64. */
function hash({ sha256 }) {
  const bytes = sha256.match(/../g).map((pair) => parseInt(pair, 16));
  return `sha256-${btoa(String.fromCharCode(...bytes))}`;
}

/** A browser does not tell why it refused a file: look again, without the hash. */
async function explain(path, url) {
  const response = await fetch(url, { cache: "no-store" }).catch(() => null);
  if (!response) return new Error(`${path} could not be loaded: the server cannot be reached.`);
  if (!response.ok) return missing(path, response.status);
  return new Error(`${path} is damaged: these are not the bytes that were built. ${RETRY}`);
}

function missing(path, status) {
  return new Error(`${path} could not be loaded: the server answers ${status}. ${RETRY}`);
}
