// Types of the widget's element, without code. The relay serves the widget.
export {};
