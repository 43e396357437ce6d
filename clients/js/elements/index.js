// Types of the widget's element; there is nothing to run. The relay serves the widget.
export {};
