// Search needs a worker, and browsers refuse workers on pages that are opened from disk. There, a hidden frame runs its script.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const scope = this.frame.contentWindow;
      const load = (address) => new Promise((resolve, reject) => {
        const script = scope.document.createElement("script");
        Object.assign(script, { src: new URL(address, location.href), onload: resolve, onerror: reject });
        scope.document.body.append(script);
      });
      scope.importScripts = (...addresses) => addresses.reduce((done, next) => done.then(() => load(next)), Promise.resolve());
      scope.postMessage = (data) => {
        const event = new MessageEvent("message", { data });
        this.dispatchEvent(event);
        this.onmessage?.(event);
      };
      this.ready = load(url);
    }

    postMessage(data) {
      const scope = this.frame.contentWindow;
      this.ready.then(() => scope.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
